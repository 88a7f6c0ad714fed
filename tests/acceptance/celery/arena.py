"""What these tests work in: a broker, a result backend, Postgres, workers, and a publisher: pytest."""

from __future__ import annotations

import importlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import psycopg
import pytest

from papayya_core import runtime
from papayya_core.audit import Audit, audit
from tests.support.celery_worker import ROOT, CeleryWorker
from tests.support.processes import until
from tests.support.program import Program

T = TypeVar("T")

APP = Path(__file__).parent / "apps" / "fire.py"
PATIENCE_S = 25.0
LEASE_S = 4.0
SETTINGS = {"PAPAYYA_LEASE_SECONDS": f"{LEASE_S:g}", "PAPAYYA_HEARTBEAT_SECONDS": "1"}
SETTINGS |= {"PAPAYYA_MAX_DELIVERIES": "3"}
OPEN = (
    "SELECT key, state, send_at FROM papayya.item WHERE finished_at IS NULL OR send_at IS NOT NULL"
)

PAUSE = "SELECT papayya.pause_v1(NULL, NULL, %s::bigint[])"
RESUME = "SELECT papayya.resume_v1(NULL, NULL, %s::bigint[])"
IDS = "SELECT id FROM papayya.item WHERE key = ANY (%s)"
COUNT = "SELECT count(*) FROM papayya.item WHERE key = ANY (%s) AND state = %s::papayya.item_state"


@dataclass(slots=True)
class Arena:
    """A world in which anything may be killed; names of items are unique in it."""

    dsn: str
    folder: Path
    app: ModuleType
    workers: list[CeleryWorker] = field(default_factory=list)
    named: int = 0

    # -- who works ------------------------------------------------------------------------------

    @property
    def worker(self) -> CeleryWorker:
        """The latest worker."""
        return self.workers[-1]

    def start_worker(self, concurrency: int = 4, pool: str = "prefork", **env: str) -> CeleryWorker:
        """Start one more worker."""
        name = f"worker{len(self.workers)}"
        worker = CeleryWorker(
            APP,
            self.folder,
            name=name,
            pool=pool,
            concurrency=concurrency,
            env={"FIRE_DEADLY": "1", **env},
        )
        self.workers.append(worker)
        worker.start()
        return worker

    def publish_apart(self, code: str) -> int:
        """Run this code in a process that imports the app; return its exit code."""
        path = [str(APP.parent), str(ROOT), os.environ.get("PYTHONPATH")]
        env = {"FIRE_DEADLY": "1", "PYTHONPATH": os.pathsep.join(filter(None, path))}
        command = [sys.executable, "-c", f"from fire import *\n{code}"]
        program = Program(command, self.folder, f"publisher{self.fresh('')}", env)
        program.start(lambda: True)
        assert program.popen is not None
        self.until(lambda: not program.running, "the publisher has ended")
        return program.popen.returncode

    def end(self) -> None:
        """Kill what runs."""
        for worker in self.workers:
            worker.program.kill_group()

    # -- where it dies --------------------------------------------------------------------------

    def fresh(self, *names: str) -> Any:
        """Make names that no other test of this arena has."""
        self.named += 1
        made = [f"{name}{self.named}" for name in names]
        return made[0] if len(made) == 1 else made

    def hold(self, place: str, *names: str) -> None:
        """Keep whoever gets there with these items."""
        for name in names:
            (self.folder / f"hold-{place}-{name}").touch()

    def go(self, place: str, *names: str) -> None:
        """Let them go on, now and in future."""
        for name in names:
            (self.folder / f"hold-{place}-{name}").unlink()

    def die(self, place: str, *names: str) -> None:
        """Kill who gets there first with each of these items."""
        for name in names:
            (self.folder / f"die-{place}-{name}").touch()

    def has_died(self, place: str, name: str) -> bool:
        """Tell whether somebody died there."""
        return not (self.folder / f"die-{place}-{name}").exists()

    def held(self, place: str, name: str) -> int:
        """Wait until somebody is held there; return the process."""

        def found() -> list[int]:
            return [int(p.suffix[1:]) for p in self.folder.glob(f"held-{place}-{name}.*")]

        return self.until(found, f"somebody is held at {place} with {name}")[-1]

    # -- what is known --------------------------------------------------------------------------

    def until(
        self, condition: Callable[[], T | None], what: str, deadline_s: float = PATIENCE_S
    ) -> T:
        """Wait for a condition; in vain, show what is open and the end of the worker's log."""
        return until(condition, what, deadline_s, self._evidence)

    def _evidence(self) -> str:
        said = [line for line in self.worker.said().splitlines() if "MainProcess" not in line]
        tail = "\n".join(said[-40:])
        return f"open: {self.query(OPEN)}\n{tail}\n{self.worker.program.tail()}"

    def query(self, statement: str, *params: Any) -> list[Any]:
        """Ask Postgres, each time over a connection of its own."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            return connection.execute(statement, params).fetchall()

    def item(self, name: str) -> dict[str, Any]:
        """Return what Postgres knows of an item: state, outcome, reason, deliveries, id."""
        columns = "id, state, outcome, reason, deliveries, sends"
        [row] = self.query(f"SELECT {columns} FROM papayya.item WHERE key = %s", name)
        return dict(zip(columns.split(", "), row, strict=True))

    def count(self, names: list[str], state: str) -> int:
        """Count those of these items that are in a state."""
        [[number]] = self.query(COUNT, names, state)
        return int(number)

    def pause(self, names: list[str]) -> None:
        """Pause items by hand."""
        self.query(PAUSE, self._ids(names))

    def resume(self, names: list[str]) -> None:
        """Resume items by hand."""
        self.query(RESUME, self._ids(names))

    def _ids(self, names: list[str]) -> list[int]:
        ids = [row[0] for row in self.query(IDS, names)]
        assert len(ids) == len(names)
        return ids

    def paid(self, *names: str) -> Counter[str]:
        """Count the payments for these items, as ``name label``."""
        rows = [line.split() for line in (self.folder / "ledger").read_text().splitlines()]
        return Counter(f"{name} {label}" for name, label, _ in rows if name in names)

    def result(self, result: Any) -> Any:
        """Wait for what a task returned, as the user's own code would."""
        try:
            return result.get(timeout=PATIENCE_S, interval=0.05)
        except Exception as error:
            raise AssertionError(f"{result.id}: {error!r}\n{self._evidence()}") from error

    def settle(self) -> list[Audit]:
        """Wait until every item has ended and Celery knows it; return a clean audit per run."""
        self.until(lambda: not self.query(OPEN), "everything has ended")
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            names = [row[0] for row in connection.execute("SELECT name FROM papayya.run")]
            reports = [audit(connection, name) for name in names]
        for report in reports:
            assert report.explained, report.unexplained
            assert not report.dropped, report
            assert not report.totals.open, report
        return reports


@contextmanager
def arena(
    dsn: str, folder: Path, broker_url: str, result_url: str, **settings: str
) -> Iterator[Arena]:
    """Set up an arena without a worker; what a test leaves running is killed."""
    env = SETTINGS | {"PAPAYYA_DATABASE_URL": dsn, "FIRE_FOLDER": str(folder)}
    env |= {"BROKER_URL": broker_url, "RESULT_URL": result_url} | settings
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        patch.syspath_prepend(str(APP.parent))
        runtime.reset()
        (folder / "ledger").touch()
        made = Arena(dsn, folder, importlib.import_module(APP.stem))
        try:
            yield made
        finally:
            made.end()
            made.app.app.close()
            del sys.modules[APP.stem]
            runtime.reset()
