"""Celery's workers on a Postgres of their own, and what is done to both; the base of two sieges."""

from __future__ import annotations

import importlib
import random
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from papayya_core import migrate, runtime
from tests.acceptance.recovery.postgres import kill, lasting_server
from tests.support.celery_worker import CeleryWorker

OPEN_ITEMS = """
SELECT key, state, reason, deliveries, sends, send_at, dispatch_no FROM papayya.item
WHERE finished_at IS NULL OR send_at IS NOT NULL LIMIT 20
"""


class Siege:
    """A database and the workers on it; ``patience``: seconds that a worker may take to start."""

    def __init__(self, folder: Path, stack: ExitStack, seed: int, patience: float) -> None:
        self.folder, self.stack, self._patience = folder, stack, patience
        self.luck = random.Random(seed)
        self.killed: dict[str, int] = {}
        self.postgres = stack.enter_context(lasting_server())
        migrate.apply(self.postgres.dsn)
        self.workers: list[CeleryWorker] = []

    def import_app(self, module: Path, env: dict[str, str]) -> Any:
        """Import a module's file as the workers do, to publish from here, in this environment."""
        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in env.items():
            patch.setenv(name, value)
        patch.syspath_prepend(str(module.parent))
        runtime.reset()
        self.stack.callback(runtime.reset)
        imported = importlib.import_module(module.stem)
        self.stack.callback(sys.modules.pop, module.stem)
        self.stack.callback(imported.app.close)
        return imported

    def start_workers(
        self, module: Path, number: int, concurrency: int, env: dict[str, str] | None = None
    ) -> None:
        """Start so many workers."""
        for n in range(number):
            worker = CeleryWorker(
                module, self.folder, name=f"worker{n}", concurrency=concurrency, env=env
            )
            self.stack.callback(worker.program.kill_group)
            worker.start(self._patience)
            self.workers.append(worker)

    def query(self, statement: str, *params: Any) -> list[Any]:
        """Ask Postgres."""
        with psycopg.connect(self.postgres.dsn, autocommit=True) as connection:
            return connection.execute(statement, params).fetchall()

    def kill_child(self) -> None:
        """Kill a child of one of the workers."""
        worker = self.luck.choice(self.workers)
        if children := worker.children:
            worker.kill_child(self.luck.choice(children))
            self.note("children")

    def kill_parent(self) -> None:
        """Kill a worker, with its children or without, and start it again."""
        worker = self.luck.choice(self.workers)
        worker.kill_parent(orphans=self.luck.random() < 0.5)
        worker.start(self._patience)
        self.note("parents")

    def kill_postgres(self) -> None:
        """Kill Postgres and start it again."""
        kill(self.postgres)
        self.postgres.start()
        self.note("postgres")

    def note(self, what: str) -> None:
        """Count what was done."""
        self.killed[what] = self.killed.get(what, 0) + 1
