"""Event loops that a task runs for a few calls: they are lent the connections of threads."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import openai
import psycopg
import pytest

from tests.integration.llm.world import GPT, World
from tests.support.processes import until


async def aask(world: World, text: str = "Say it.") -> str:
    """Ask once."""
    async with openai.AsyncOpenAI(base_url=f"{world.url}/v1", api_key="sk-x") as client:
        said = await client.chat.completions.create(
            model=GPT, messages=[{"role": "user", "content": text}]
        )
    return str(said.choices[0].message.content)


@contextmanager
def calls_locked(world: World) -> Iterator[psycopg.Connection]:
    """Keep everybody else from reading or writing calls."""
    with psycopg.connect(world.script.dsn) as connection:
        connection.execute("LOCK TABLE papayya.call IN ACCESS EXCLUSIVE MODE")
        yield connection


def waiting(world: World) -> bool:
    """Tell whether a statement waits for the lock."""
    found = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
    return bool(world.script.one(f"{found} WHERE NOT granted AND datname = current_database()"))


def test_replayed(world: World) -> None:
    """What was answered on one loop is not bought again on another."""
    twice = world.twice(lambda: [asyncio.run(aask(world, text)) for text in ("One", "Two")])
    assert twice.requests == [2, 0]
    assert twice.answers[0] == twice.answers[1]


def test_together(world: World) -> None:
    """More calls than there are threads are made at once, each one recorded."""
    world.script.start(pool_size=2)

    async def work() -> None:
        await asyncio.gather(*(aask(world, f"Say {n}.") for n in range(8)))

    world.once(lambda: asyncio.run(work()))
    assert world.calls() == ["answered"] * 8


@pytest.mark.parametrize("whole_loop", [False, True])
def test_cancelled_hold(world: World, whole_loop: bool) -> None:
    """A call that is cancelled while it is held is void, and was never sent."""
    world.aonce(lambda: aask(world))
    before = len(world.stand_in.entries())

    async def work() -> None:
        with calls_locked(world) as connection:
            asked = asyncio.create_task(aask(world))
            await asyncio.to_thread(until, lambda: waiting(world), "the hold waits")
            if not whole_loop:
                asked.cancel()
                asyncio.get_running_loop().call_soon(connection.rollback)
                with pytest.raises(asyncio.CancelledError):
                    await asked

    world.once(lambda: asyncio.run(work()))
    assert world.calls() == ["answered", "void"]
    assert len(world.stand_in.entries()) == before


def test_after_fork() -> None:
    """A forked child has threads of its own."""
    code = """
        import os
        from papayya_llm import lending
        lending._threads(1).submit(int).result()
        if (child := os.fork()) == 0:
            lending._threads(1).submit(int).result(timeout=20)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
