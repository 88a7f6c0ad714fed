"""Ways to ask a model: without Papayya, with it outside items, in an item, and from the journal."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import psycopg

import papayya_llm
from papayya_core import codec, context
from papayya_core.contract import Agent, Captured, Submission
from papayya_core.execution import Execution
from papayya_core.runtime import configure
from papayya_core.settings import Settings
from papayya_core.store import rows
from tests.support.processes import until

TENANT = "benchmark"
AGENT = Agent("benchmark", "1")
_WORDS = (
    "invoice",
    "refund",
    "late",
    "parcel",
    "charged",
    "twice",
    "please",
    "help",
    "order",
    "and",
)
_dice = random.Random(5)
_numbers = itertools.count(1)


Send = Callable[[str], object]
"""Sends a prompt and waits for its answer."""


class Way(Protocol):
    """``prepare`` and ``finish`` are not timed; what is, happens within ``asking``."""

    name: str

    def prepare(self) -> None: ...

    def asking(self, send: Send) -> AbstractContextManager[Send]: ...

    def finish(self) -> None: ...


class Bare:
    """Papayya is not there."""

    name = "bare"

    def prepare(self) -> None:
        papayya_llm.uninstall()

    def asking(self, send: Send) -> AbstractContextManager[Send]:
        return nullcontext(send)

    def finish(self) -> None:
        papayya_llm.install()


class Floor(Bare):
    """The floor: bare, with a prepared INSERT of the prompt before, and one of the answer after."""

    name = "bare, two INSERTs"

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("CREATE TABLE floor (text text NOT NULL)")

    def asking(self, send: Send) -> AbstractContextManager[Send]:
        def asked(prompt: str) -> None:
            self._insert(prompt)
            self._insert(str(send(prompt)))

        return nullcontext(asked)

    def _insert(self, text: str) -> None:
        self._connection.execute("INSERT INTO floor VALUES (%s)", (text,), prepare=True)

    def close(self) -> None:
        self._connection.close()


class Outside:
    """Papayya is there, but no item is at work."""

    name = "outside items"

    def prepare(self) -> None:
        pass

    def asking(self, send: Send) -> AbstractContextManager[Send]:
        return nullcontext(send)

    def finish(self) -> None:
        pass


class Inside:
    """Each is a call of an item: held before, settled after. The item is queued again at its end."""

    name = "in an item"

    def __init__(self, url: str, **settings: Any) -> None:
        self._runtime = configure(Settings.load(database_url=url, **settings))
        self._engine = self._runtime.engine()
        self._ref = self._runtime.register(AGENT)
        self._run = self._engine.store.start_run(f"benchmark of calls {next(_numbers)}")
        papayya_llm.install()
        self._items = 0
        self.captured: Captured
        self.execution: Execution

    def prepare(self) -> None:
        self._items += 1
        batch = [_submission(str(self._items))]
        [self.captured] = self._engine.store.capture(self._run.id, self._ref.agent_id, batch)
        self.open()

    def open(self) -> None:
        opened = self._engine.store.open(self.captured.item_id, self._ref)
        found = self._engine.execution(self._run, AGENT, TENANT, self.captured, opened)
        self.execution = found

    @contextmanager
    def asking(self, send: Send) -> Iterator[Send]:
        with context.executing(self.execution):
            yield send

    def finish(self) -> None:
        self._engine.release(self.execution, "queued", "the benchmark asks it again")

    def end(self) -> None:
        self._engine.carry(self.execution, lambda: None, (), {})

    def close(self) -> None:
        self._runtime.close()


class Again:
    """The same item once more: the journal has all answers."""

    name = "from the journal"

    def __init__(self, inside: Inside) -> None:
        self._inside = inside

    def prepare(self) -> None:
        self._inside.open()

    def asking(self, send: Send) -> AbstractContextManager[Send]:
        return self._inside.asking(send)

    def finish(self) -> None:
        self._inside.end()


def prompts(size: int, number: int) -> list[str]:
    """Write texts of so many bytes, none like another."""
    return ["".join(_text(size))[:size] for _ in range(number)]


def _text(size: int) -> Iterator[str]:
    length = 0
    while length < size:
        word = f"{_dice.choice(_WORDS)} {_dice.randrange(1000)} "
        length += len(word)
        yield word


def _submission(key: str) -> Submission:
    text = codec.encode({"args": [key], "kwargs": {}})
    return Submission(TENANT, key, codec.digest(text), rows.pack(text))


@contextmanager
def stand_in() -> Iterator[str]:
    """Run the stand-in in a process of its own; yield where it listens."""
    with TemporaryDirectory() as folder:
        port = Path(folder) / "port"
        command = [sys.executable, "-m", "papayya_core.fake_provider", "--port-file", str(port)]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            until(port.exists, "the stand-in listens")
            yield f"http://127.0.0.1:{port.read_text().strip()}/v1"
        finally:
            running.terminate()
            running.wait()
