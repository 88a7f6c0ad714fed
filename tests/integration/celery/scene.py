"""A database, a broker and a worker for the tests of a module, and the few moves they need.

The pump takes its turns in the tests, so that nothing waits for its clock.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import psycopg
import pytest
from psycopg.rows import namedtuple_row

from papayya_celery import carried
from papayya_core import runtime
from papayya_core.pump import Pump, Turn
from papayya_core.store import acts
from tests.support.celery_modules import forgotten_tasks
from tests.support.celery_worker import CeleryWorker
from tests.support.processes import PATIENCE_S, until

T = TypeVar("T")

TASKS = Path(__file__).parent / "apps" / "parked_tasks.py"
_ITEM = """
    SELECT i.id, i.key, i.run, i.tenant, i.state, i.outcome, i.reason, i.paused_by, i.deliveries,
           e.dispatch_no, e.sends, e.parked, e.due_at
    FROM papayya.item_now i JOIN papayya.item e ON e.id = i.id
"""


class Servers(NamedTuple):
    """Where things are."""

    dsn: str
    broker: str
    results: str


class Scene:
    """One app with one worker, as seen by those who publish and operate."""

    def __init__(self, servers: Servers, folder: Path, module: Path) -> None:
        self.servers, self.folder = servers, folder
        sys.path.insert(0, str(module.parent))
        try:
            self.tasks: ModuleType = importlib.import_module(module.stem)
        finally:
            sys.path.remove(str(module.parent))
        self.module = module
        self.workers: list[CeleryWorker] = []
        self._pump: Pump | None = None

    @property
    def app(self) -> Any:
        """The Celery app, as this process knows it."""
        return self.tasks.app

    @property
    def worker(self) -> CeleryWorker:
        """The worker that was started last."""
        return self.workers[-1]

    def start(
        self, *args: str, concurrency: int = 2, env: Mapping[str, str] | None = None
    ) -> CeleryWorker:
        """Start a worker."""
        name = f"worker{len(self.workers)}"
        worker = CeleryWorker(
            self.module, self.folder, name=name, concurrency=concurrency, args=args, env=env
        )
        self.workers.append(worker)
        worker.start()
        return worker

    def turn(self) -> Turn:
        """Let the pump take a turn here."""
        here = runtime.runtime()
        if self._pump is None:
            store = here.engine().store
            self._pump = Pump(store, here.plugins, here.settings, here.owner)
        return self._pump.turn()

    def rows(self, statement: str, **params: Any) -> list[Any]:
        """Run a statement of a test's own."""
        with psycopg.connect(
            self.servers.dsn, autocommit=True, row_factory=namedtuple_row
        ) as connection:
            cursor = connection.execute(statement.encode(), params)
            return cursor.fetchall() if cursor.description else []

    def item(self, task_id: str) -> Any:
        """Read the item of a task; None when there is none."""
        digest = carried.digest(task_id)
        found = self.rows(f"{_ITEM} WHERE e.input_digest = %(digest)s", digest=digest)
        return found[0] if found else None

    def items(self, key: str) -> list[Any]:
        """Read the items of a key, the oldest first."""
        return self.rows(f"{_ITEM} WHERE i.key = %(key)s ORDER BY i.id", key=key)

    def state(self, task_id: str) -> str | None:
        """Read the state of a task's item."""
        item = self.item(task_id)
        return item.state if item else None

    def act(self, act: Callable[..., int], **what: Any) -> int:
        """Do what people do by hand."""
        with psycopg.connect(self.servers.dsn, autocommit=True) as connection:
            return act(connection, **what)

    def pause(self, **what: Any) -> int:
        """Pause a run, a tenant or items."""
        return self.act(acts.pause, **what)

    def resume(self, **what: Any) -> int:
        """Resume a run, a tenant or items, and send what goes on."""
        count = self.act(acts.resume, **what)
        self.turn()
        return count

    def hold(self, tenant: str) -> None:
        """Pause a tenant that has nothing yet."""
        statement = "INSERT INTO papayya.tenant (name, paused_at) VALUES (%(name)s, papayya.now())"
        self.rows(statement, name=tenant)

    def lines(self, file: str) -> list[str]:
        """Read what tasks have noted."""
        path = self.folder / file
        return path.read_text().splitlines() if path.exists() else []

    def touch(self, name: str) -> None:
        """Make a file that a task waits for."""
        (self.folder / name).touch()

    def exists(self, name: str) -> bool:
        """Tell whether a file is there."""
        return (self.folder / name).exists()

    def until(
        self, condition: Callable[[], T | None], what: str, deadline_s: float = PATIENCE_S
    ) -> T:
        """Wait for a condition; in vain, show the log of the worker and the items."""
        return until(condition, what, deadline_s, self._evidence)

    def pumped(self, condition: Callable[[], T | None], what: str) -> T:
        """Wait for a condition with the pump at work."""

        def turned() -> T | None:
            self.turn()
            return condition()

        return self.until(turned, what)

    def _evidence(self) -> str:
        log = self.worker.program.tail() if self.workers else ""
        items = self.rows(f"{_ITEM} ORDER BY i.id DESC LIMIT 20")
        return "\n".join([log, *map(str, items)])

    def close(self) -> None:
        """Kill the workers and forget the app."""
        for worker in self.workers:
            worker.program.kill_group()
        self.app.close()
        del sys.modules[self.module.stem]


@contextmanager
def scene(servers: Servers, folder: Path, *, module: Path = TASKS, **env: str) -> Iterator[Scene]:
    """Set an app up on servers; without a worker yet."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"BROKER_URL": servers.broker, "RESULT_URL": servers.results, "FOLDER": str(folder)}
    facts |= {"PAPAYYA_DATABASE_URL": servers.dsn, **env}
    with pytest.MonkeyPatch.context() as patch, forgotten_tasks():
        for name, value in facts.items():
            patch.setenv(name, value)
        runtime.reset()
        made = Scene(servers, folder, module)
        try:
            yield made
        finally:
            made.close()
            runtime.reset()


MakeScene = Callable[..., AbstractContextManager[Scene]]


def environment(**env: str) -> dict[str, str]:
    """Return this process's environment with some of it changed."""
    return {**os.environ, **env}
