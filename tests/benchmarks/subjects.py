"""What is measured: ways to make ten results of an item last."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import psycopg
from psycopg.types.json import Jsonb

from papayya import run
from papayya_core import codec, context, migrate
from papayya_core.contract import Agent, Captured, Submission
from papayya_core.execution import Execution
from papayya_core.runtime import configure
from papayya_core.settings import Settings
from papayya_core.store import rows

T = TypeVar("T")

STEPS = 10
RESULT = {"ok": True, "text": "x" * 100}
TENANT = "benchmark"
AGENT = Agent("benchmark", "1")
_TABLE = """CREATE TABLE step (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                               item bigint NOT NULL, n int NOT NULL, result jsonb NOT NULL)"""
_INSERT = "INSERT INTO step (item, n, result) VALUES (%s, %s, %s)"


class Subject(Protocol):
    """``prepare`` and ``finish`` are not timed, ``work`` is. ``weight`` scales the items."""

    name: str
    weight: float

    def prepare(self, items: int) -> None: ...

    def work(self, workers: int) -> None: ...

    def finish(self) -> None: ...

    def close(self) -> None: ...


def spread(workers: int, fn: Callable[[T], object], items: Iterable[T]) -> None:
    """Call a function for each item, in as many threads; one worker is the thread that is here."""
    if workers == 1:
        for item in items:
            fn(item)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(fn, items):
            pass


class Bare:
    """The floor: one INSERT and its commit per step, prepared, a connection per worker."""

    name = "bare INSERT + COMMIT"
    weight = 1.0

    def __init__(self, url: str, workers: int) -> None:
        self._connections = [psycopg.connect(url, autocommit=True) for _ in range(workers)]
        self._connections[0].execute(_TABLE)
        self._items = 0

    def prepare(self, items: int) -> None:
        self._items = items

    def work(self, workers: int) -> None:
        shares = [range(first, self._items, workers) for first in range(workers)]
        spread(workers, self._share, list(zip(self._connections, shares, strict=False)))

    def _share(self, share: tuple[psycopg.Connection, range]) -> None:
        connection, items = share
        for item in items:
            for n in range(STEPS):
                connection.execute(_INSERT, (item, n, Jsonb(RESULT)), prepare=True)

    def finish(self) -> None:
        pass

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


class Items:
    """Papayya, a whole item: open, ten ``run.task``, close. Items were captured before."""

    name = "papayya, whole item"
    weight = 1.0

    def __init__(self, url: str) -> None:
        migrate.apply(url)
        self._runtime = configure(Settings.load(database_url=url))
        self._engine = self._runtime.engine()
        self._ref = self._runtime.register(AGENT)
        self._run = self._engine.store.start_run(f"benchmark of {type(self).__name__}")
        self._captured: list[Captured] = []
        self._made = 0

    def prepare(self, items: int) -> None:
        batch = [_submission(str(self._made + n)) for n in range(items)]
        self._made += items
        self._captured = self._engine.store.capture(self._run.id, self._ref.agent_id, batch)

    def work(self, workers: int) -> None:
        spread(workers, self._carry, self._captured)

    def _carry(self, captured: Captured) -> None:
        self._end(self._open(captured), body)

    def _open(self, captured: Captured) -> Execution:
        opened = self._engine.store.open(captured.item_id, self._ref)
        return self._engine.execution(self._run, AGENT, TENANT, captured, opened)

    def _end(self, execution: Execution, fn: Callable[[], object]) -> None:
        ended = self._engine.carry(execution, fn, (), {})
        if ended.state != "completed":
            raise RuntimeError(f"an item ended as {ended.state}: {ended.reason}")

    def finish(self) -> None:
        pass

    def close(self) -> None:
        self._runtime.close()


class Checkpoints(Items):
    """Papayya, the checkpoints alone: items are opened before and closed after."""

    name = "papayya, checkpoints"

    def __init__(self, items: Items) -> None:
        self.__dict__ |= items.__dict__  # one runtime per process: both share it
        self._run = self._engine.store.start_run(f"benchmark of {type(self).__name__}")
        self._open_items: list[Execution] = []

    def prepare(self, items: int) -> None:
        super().prepare(items)
        self._open_items = [self._open(captured) for captured in self._captured]

    def work(self, workers: int) -> None:
        spread(workers, self._steps, self._open_items)

    def _steps(self, execution: Execution) -> None:
        with context.executing(execution):
            body()

    def finish(self) -> None:
        for execution in self._open_items:
            self._end(execution, lambda: None)

    def close(self) -> None:
        pass


class Dbos:
    """DBOS Transact: a workflow of ten steps per item, called directly."""

    name = "DBOS Transact"
    weight = 0.1

    def __init__(self, url: str, workers: int) -> None:
        self._module: Any = importlib.import_module("dbos").DBOS
        self._module(
            config={
                "name": "benchmark",
                "system_database_url": url,
                "sys_db_pool_size": workers + 4,
                "log_level": "ERROR",
            }
        )
        step = self._module.step()(lambda n: RESULT)

        @self._module.workflow()  # type: ignore[untyped-decorator, unused-ignore]
        def workflow(item: int) -> int:
            for n in range(STEPS):
                step(n)
            return item

        self._workflow: Callable[[int], int] = workflow
        self._items = 0
        self._module.launch()

    def prepare(self, items: int) -> None:
        self._items = items

    def work(self, workers: int) -> None:
        spread(workers, self._workflow, range(self._items))

    def finish(self) -> None:
        pass

    def close(self) -> None:
        self._module.destroy()


def body() -> None:
    """Do what a small agent does: ten steps that cost nothing themselves."""
    for n in range(STEPS):
        run.task("step", _step, n)


def _step(n: int) -> dict[str, Any]:
    return RESULT


def _submission(key: str) -> Submission:
    text = codec.encode({"args": [key], "kwargs": {}})
    return Submission(TENANT, key, codec.digest(text), rows.pack(text))
