"""Fills a database through the engine, for tests of what people see of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from click.testing import CliRunner, Result

from papayya_core import codec, context
from papayya_core.cli.main import cli
from papayya_core.contract import Agent, Captured, Opened, Run, StepCall, Submission
from papayya_core.execution import Execution
from papayya_core.runtime import Runtime, configure, reset
from papayya_core.settings import Settings
from papayya_core.store.rows import pack

DIME = 100_000_000  # nano-dollars
HOSTILE = "[red]x[/red]\n\x1b[31m\x9b2J\u202e" + "long" * 100


class World:
    """One process's runtime on a database, and the few moves the tests need."""

    def __init__(self, dsn: str, **settings: Any) -> None:
        self.runtime = Runtime(Settings.load({}, database_url=dsn, heartbeat="off", **settings))
        self.engine = self.runtime.engine()
        self.store = self.engine.store

    def run(self, name: str, **options: Any) -> Run:
        """Make a run, or go on with it."""
        return self.store.start_run(name, **options)

    def submit(
        self, run: Run, *keys: str, tenant: str = "acme", agent: str = "tag"
    ) -> list[Captured]:
        """Submit items whose input is their key."""
        ref = self.runtime.register(Agent(agent, "v1"))
        return self.store.capture(run.id, ref.agent_id, [_submission(k, k, tenant) for k in keys])

    def carry(
        self,
        run: Run,
        key: str,
        body: Callable[..., Any] = lambda value: {"tag": value},
        *,
        tenant: str = "acme",
        agent: str = "tag",
        value: object = None,
    ) -> Any:
        """Submit an item if it is new, and do its work here."""
        execution = self.open(run, key, tenant=tenant, agent=agent, value=value)
        return self.engine.carry(execution, body, (value if value is not None else key,), {})

    def open(
        self, run: Run, key: str, *, tenant: str = "acme", agent: str = "tag", value: object = None
    ) -> Execution:
        """Lease an item and leave it so."""
        definition = Agent(agent, "v1")
        ref = self.runtime.register(definition)
        one = _submission(key, value if value is not None else key, tenant)
        captured, opened = self.store.enter(run.id, ref, one)
        assert opened.verdict == "go", opened
        return self._execution(run, definition, tenant, captured, opened)

    def _execution(
        self, run: Run, agent: Agent, tenant: str, captured: Captured, opened: Opened
    ) -> Execution:
        return self.engine.execution(run, agent, tenant, captured, opened)


def _submission(key: str, value: object, tenant: str) -> Submission:
    text = codec.encode({"args": [value], "kwargs": {}})
    return Submission(tenant, key, codec.digest(text), pack(text))


def paid(value: str) -> dict[str, str]:
    """An agent's body: one step that costs a dime and ten tokens."""

    def ask(question: str) -> str:
        execution = context.current()
        assert execution is not None
        execution.add_cost(context.current_step(), DIME, 10)
        return question.upper()

    return {"answer": step("ask", ask, value)}


def step(label: str, fn: Callable[..., Any], *args: object) -> Any:
    """Run a step of the current item."""
    execution = context.current()
    assert execution is not None
    call = StepCall(label, fn, args, {}, codec.arguments_digest(args, {}))
    return _current[-1].engine.steps.run(execution, call)


def broken(value: object) -> None:
    """An agent's body that fails."""
    raise ValueError(f"cannot read {value!r}")


_current: list[World] = []


@contextmanager
def world(dsn: str, **settings: Any) -> Iterator[World]:
    """A runtime on a database, for a block."""
    made = World(dsn, **settings)
    _current.append(made)
    try:
        yield made
    finally:
        _current.remove(made)
        made.runtime.close()


@contextmanager
def program(dsn: str, **settings: Any) -> Iterator[None]:
    """This process's own runtime, as a program has it, for a block."""
    configure(Settings.load({}, database_url=dsn, **settings))
    try:
        yield
    finally:
        reset()


@contextmanager
def program_when_off() -> Iterator[None]:
    """The same in the mode off, with a database that nobody could reach."""
    with program("postgresql://nobody@localhost:1/none", mode="off"):
        yield


def papayya(*arguments: str, code: int = 0) -> Result:
    """Run a command in this process, and insist on its exit code."""
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == code, (result.exit_code, result.output, result.stderr)
    return result


def papayya_json(*arguments: str, code: int = 0) -> Any:
    """Run a command with --json, and read its document."""
    return json.loads(papayya(*arguments, "--json", code=code).stdout)


def papayya_lines(*arguments: str) -> list[Any]:
    """Run a command with --jsonl, and read its documents."""
    return [json.loads(line) for line in papayya(*arguments, "--jsonl").stdout.splitlines()]


def change(dsn: str, statement: str, *values: object) -> None:
    """Change the database by hand, as nobody should."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement.encode(), values or None)
