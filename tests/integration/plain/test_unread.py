"""Maps that are not read to their end: their run stays open, and nothing stays running."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from papayya import agent, loops, mapping, run
from papayya.mapping import Mapping
from papayya_core.runtime import runtime
from papayya_core.store.store import Store
from tests.integration.plain.script import Script

SEALED = "SELECT sealed_at IS NOT NULL FROM papayya.run"


@agent
def half(n: int) -> float:
    return n / 2


@agent
async def ahalf(n: int) -> float:
    await asyncio.sleep(0)
    return n / 2


def break_off() -> None:
    for _ in half.map(range(30)):
        break


def break_off_coroutines() -> None:
    for _ in ahalf.map(range(30)):
        break


def raise_inside() -> None:
    with contextlib.suppress(ZeroDivisionError):
        for one in half.map(range(30)):
            one.output / 0


def raise_in_source() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise LookupError("of the source")

    with pytest.raises(LookupError):
        list(half.map(broken()))


def never_read() -> None:
    half.map(range(30))


def never_read_async() -> None:
    ahalf.amap(range(30))


WAYS: list[Callable[[], None]] = [
    break_off,
    break_off_coroutines,
    raise_inside,
    raise_in_source,
    never_read,
    never_read_async,
]


@pytest.mark.parametrize("leave", WAYS)
def test_a_named_run_is_not_sealed(
    script: Script, capsys: pytest.CaptureFixture[str], leave: Callable[[], None]
) -> None:
    """A block that ends quietly does not seal its run while a map in it was not read to its end."""
    with run("cut") as cut:
        list(half.map(range(3)))
        leave()
    gc.collect()
    assert script.one(SEALED) is False
    assert f"run {cut.id} is not sealed: a map was not read" in capsys.readouterr().err
    assert "running" not in script.states().values()
    assert not loops.any_held()
    with run("cut", run_id=cut.id):
        list(half.map(range(30)))
        list(ahalf.map(range(30)))
    assert script.one(SEALED) is True


def test_a_map_that_is_read_late(script: Script) -> None:
    """A map belongs to the run it was made in, wherever it is read."""
    with run("late") as late:
        results = half.map(range(3))
    assert len(list(results)) == 3
    assert script.run() == late.id
    script.change("UPDATE papayya.run SET sealed_at = now()")


def test_a_forgotten_map(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    """A map that nobody reads says that nothing was submitted."""
    with caplog.at_level(logging.WARNING, "papayya"):
        half.map([1])
        ahalf.amap([1])
        gc.collect()
    assert [one.getMessage() for one in caplog.records] == [
        "map of 'half' was never read; nothing was submitted: iterate over it",
        "map of 'ahalf' was never read; nothing was submitted: iterate over it",
    ]
    assert script.rows("SELECT 1 FROM papayya.run") == []


def raising(count: int) -> Iterator[int]:
    yield from range(count)
    raise OSError("the file is cut")


async def araising(count: int) -> AsyncIterator[int]:
    for n in raising(count):
        yield n


async def collect(results: AsyncIterator[Any]) -> list[Any]:
    return [one async for one in results]


@pytest.mark.parametrize(
    "read",
    [
        lambda: list(half.map(raising(5))),
        lambda: list(ahalf.map(raising(5))),
        lambda: asyncio.run(collect(ahalf.amap(araising(5)))),
    ],
)
def test_what_came_before_the_source_raised(script: Script, read: Callable[[], object]) -> None:
    """Inputs that were taken before the source raised are submitted; none stays running."""
    with pytest.raises(OSError, match="cut"):
        read()
    assert sorted(script.states()) == ["0", "1", "2", "3", "4"]
    assert set(script.states().values()) <= {"completed", "queued"}
    assert script.one(SEALED) is False
    script.change("UPDATE papayya.run SET sealed_at = now()")


def test_leaving_at_the_end(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    """Who leaves when nothing is open any more is told nothing of Ctrl-C, or of going on."""
    results = half.map([1, 2])
    assert len([next(results), next(results)]) == 2
    results.close()
    said = capsys.readouterr().err
    assert "Ctrl-C" not in said
    assert "stopped" not in said
    script.change("UPDATE papayya.run SET sealed_at = now()")


def test_a_loop_that_ends_around_items(script: Script) -> None:
    """Items in tasks that the end of their loop cancels go back before the pool is closed."""
    begun = asyncio.Event()

    @agent
    async def hang(n: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def leave_behind() -> asyncio.Task[None]:
        task = asyncio.ensure_future(hang(1))
        await begun.wait()
        return task

    asyncio.run(leave_behind())
    assert script.states() == {"1": "queued"}
    assert script.rows("SELECT 1 FROM papayya.dispatch WHERE ended_at IS NULL") == []


def test_two_interrupts_while_an_item_is_leased(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is being leased while a second Ctrl-C leaves the map goes back, too."""
    main, told, left = threading.main_thread().ident or 0, threading.Event(), threading.Event()
    store = runtime().engine().store
    leave = Mapping.abandon

    @agent
    def busy(n: int) -> None:
        assert left.wait(10)

    def lease(*args: Any, **options: Any) -> Any:
        opened = Store.open(store, *args, **options)
        signal.pthread_kill(main, signal.SIGINT)
        assert told.wait(10)
        signal.pthread_kill(main, signal.SIGINT)
        left.wait(0.5)  # the answer to open is still on its way
        return opened

    def abandon(self: Mapping) -> None:
        leave(self)
        left.set()

    monkeypatch.setattr(store, "open", lease)
    monkeypatch.setattr(mapping, "say", lambda _: told.set())
    monkeypatch.setattr(Mapping, "abandon", abandon)
    with pytest.raises(KeyboardInterrupt):
        list(busy.map([1], concurrency=1))
    assert script.rows("SELECT 1 FROM papayya.dispatch WHERE ended_at IS NULL") == []
    assert script.states() == {"1": "queued"}


def test_an_interrupt_while_coroutines_run(script: Script) -> None:
    """Ctrl-C in the map of an async agent puts its items back, and ends its loop."""

    @agent
    async def hang(n: int) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        list(hang.map([1]))
    assert script.states() == {"1": "queued"}
    assert "papayya-loop" not in {thread.name for thread in threading.enumerate()}
    script.change("UPDATE papayya.run SET sealed_at = now()")
