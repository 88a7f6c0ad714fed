"""A script of plain Python that asks models of the stand-in, and dies when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg

from papayya import agent, run
from papayya_core.fake_provider.book import Entry
from papayya_core.fake_provider.ledger import Ledger
from papayya_core.fake_provider.provider import Provider
from papayya_core.fake_provider.rules import read_rules
from papayya_core.fake_provider.server import Server
from papayya_core.store import acts
from tests.integration.plain.script import Script

GPT = "gpt-5.4-mini"
CLAUDE = "claude-sonnet-5"
GEMINI = "gemini-2.5-flash"
BEDROCK = "anthropic.claude-haiku-4-5-20251001-v1:0"
TICKET = "I was charged twice for my last invoice and want a refund."
PATIENCE_S = 20
_names = itertools.count(1)


async def until(condition: Callable[[], bool]) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


class StandIn:
    """A stand-in in a thread of this process."""

    def __init__(self) -> None:
        self._ledger = Ledger(None)
        self.provider = Provider(self._ledger, 7)
        self._server = Server("127.0.0.1", 0, self.provider)
        self.url = self._server.url
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def entries(self) -> list[Entry]:
        """Return what was received."""
        return list(self._ledger.entries())

    def fail(self, rule: dict[str, Any]) -> None:
        """Put a rule of faults in force."""
        self.provider.add_rules(read_rules([rule]))

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.drain(1.0)
        self._server.server_close()
        self._thread.join()


@dataclass
class Twice:
    """What an item was answered: in its first execution, which died at its end, and its second."""

    run: str
    answers: list[Any] = field(default_factory=list)
    asked: list[list[Entry]] = field(default_factory=list)

    @property
    def requests(self) -> list[int]:
        """How many requests the stand-in received in each."""
        return list(map(len, self.asked))


@dataclass
class World:
    """The database, the process on it, and the stand-in."""

    script: Script
    stand_in: StandIn

    @property
    def url(self) -> str:
        """Where the stand-in listens."""
        return self.stand_in.url

    def once(self, fn: Callable[[], Any]) -> Any:
        """Make calls in an item of their own."""

        @agent(name=f"once-{next(_names)}")
        def body(item: int) -> Any:
            return fn()

        return body(1)

    def aonce(self, fn: Callable[[], Awaitable[Any]]) -> Any:
        """Make calls in an item of their own, on an event loop."""

        @agent(name=f"once-{next(_names)}")
        async def body(item: int) -> Any:
            return await fn()

        return asyncio.run(body(1))

    def twice(self, fn: Callable[[], Any]) -> Twice:
        """Make calls in an item that dies after them, and again in its second execution."""
        found = Twice(f"run-{next(_names)}")

        @agent(name=found.run)
        def body(item: int) -> None:
            with self._asking(found):
                found.answers.append(fn())
            if len(found.answers) == 1:
                raise RuntimeError("it dies here")

        with run(found.run, run_id=found.run):
            with contextlib.suppress(RuntimeError):
                body(1)
            self.retry(found.run)
            body(1)
        return found

    def atwice(self, fn: Callable[[], Awaitable[Any]]) -> Twice:
        """Do the same on an event loop."""
        found = Twice(f"run-{next(_names)}")

        @agent(name=found.run)
        async def body(item: int) -> None:
            with self._asking(found):
                found.answers.append(await fn())
            if len(found.answers) == 1:
                raise RuntimeError("it dies here")

        async def work() -> None:
            with run(found.run, run_id=found.run):
                with contextlib.suppress(RuntimeError):
                    await body(1)
                self.retry(found.run)
                await body(1)

        asyncio.run(work())
        return found

    @contextlib.contextmanager
    def _asking(self, found: Twice) -> Iterator[None]:
        before = len(self.stand_in.entries())
        yield
        found.asked.append(self.stand_in.entries()[before:])

    def retry(self, name: str) -> None:
        """Queue what failed again."""
        with psycopg.connect(self.script.dsn, autocommit=True) as connection:
            acts.retry(connection, name)

    def calls(self, name: str | None = None, columns: str = "state") -> list[Any]:
        """List calls of a run (or all) in order: one column, or tuples of several."""
        found = self.script.rows(
            f"SELECT {columns} FROM papayya.call_now WHERE %s::text IS NULL OR run = %s ORDER BY id",
            name,
            name,
        )
        return [row[0] if len(row) == 1 else row for row in found]

    def last(self, columns: str = "state") -> Any:
        """Return the newest call."""
        return self.calls(None, columns)[-1]

    def findings(self) -> list[tuple[str, str]]:
        """List check and reason of all findings."""
        return self.script.rows("SELECT check_name, reason FROM papayya.finding ORDER BY id")
