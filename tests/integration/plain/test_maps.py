"""``agent.map`` and ``amap``: many inputs, one result each, whatever becomes of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from papayya import InvalidKey, agent, run
from tests.integration.plain.script import Script, Till


@agent
def half(n: int) -> float:
    if n == 13:
        raise ValueError("unlucky")
    return n / 2


@agent
async def ahalf(n: int) -> float:
    await asyncio.sleep(0)
    return half.fn(n)


async def collect(results: AsyncIterator[Any]) -> list[Any]:
    return [one async for one in results]


async def numbers(count: int) -> AsyncIterator[int]:
    for n in range(count):
        await asyncio.sleep(0)
        yield n


WAYS: dict[str, Callable[[], list[Any]]] = {
    "threads": lambda: list(half.map(list(range(20)))),
    "a stream": lambda: list(half.map((n for n in range(20)), concurrency=3)),
    "a loop of its own": lambda: list(ahalf.map(iter(range(20)))),
    "async": lambda: asyncio.run(collect(ahalf.amap(range(20)))),
    "an async stream": lambda: asyncio.run(collect(ahalf.amap(numbers(20), concurrency=2))),
    "threads under a loop": lambda: asyncio.run(collect(half.amap(range(20)))),
}


@pytest.mark.parametrize("way", WAYS)
def test_inputs(script: Script, way: str) -> None:
    """Lists, generators and async iterables give one result each; one that raises stops nothing."""
    results = WAYS[way]()
    assert sorted(int(one.key) for one in results) == list(range(20))
    bad = [one for one in results if not one.done]
    assert [(one.key, one.state, one.outcome, one.flagged) for one in bad] == [
        ("13", "failed", "failed", True)
    ]
    assert isinstance(bad[0].error, ValueError)
    assert bad[0].findings[0].check == "exception"
    assert {one.output for one in results if one.done} == {n / 2 for n in range(20) if n != 13}
    assert script.column("SELECT sealed_at IS NOT NULL FROM papayya.run") == [True]


def test_a_stream_is_read_as_it_is_needed(script: Script) -> None:
    """Of a generator no more is read than the workers will soon need."""
    read: list[int] = []

    def endless() -> Iterator[int]:
        n = 14
        while True:
            read.append(n)
            yield n
            n += 1

    results = half.map(endless(), concurrency=2)
    for _ in range(10):
        next(results)
    results.close()
    assert len(read) < 40
    assert script.one("SELECT sealed_at FROM papayya.run") is None
    assert "running" not in script.states().values()
    script.change("UPDATE papayya.run SET sealed_at = now()")


def test_nothing_to_do(script: Script) -> None:
    """A map over nothing is a run of nothing, sealed."""
    assert list(half.map([])) == []
    assert script.one("SELECT sealed_at IS NOT NULL FROM papayya.run") is True


def test_a_source_that_raises(script: Script) -> None:
    """An exception of the input's iterator passes; the run stays unsealed: not all was read."""

    def broken() -> Iterator[int]:
        yield from range(3)
        raise OSError("the file is cut")

    with pytest.raises(OSError, match="cut"):
        list(half.map(broken(), concurrency=1))
    assert script.one("SELECT sealed_at FROM papayya.run") is None
    script.change("UPDATE papayya.run SET sealed_at = now()")


class Ticket:
    """An input of a class that is not stored as it is."""

    def __init__(self, name: str, org: Any) -> None:
        self.name = name
        self.meta = {"org": org}


def test_item_and_tenant(script: Script) -> None:
    """item= and tenant= take a function or, for item=, a dotted path through keys and attributes."""

    @agent
    def tag(ticket: Any) -> str:
        return run.key + "@" + run.tenant

    tickets = [{"id": {"n": n}, "org": f"org{n % 2}"} for n in range(4)]
    by_path = tag.map(tickets, item="id.n", tenant=lambda one: one["org"])
    assert sorted(one.output for one in by_path) == ["0@org0", "1@org1", "2@org0", "3@org1"]
    objects = [Ticket("a", "x"), Ticket("b", 7)]
    by_call = tag.map(objects, item="name", tenant=lambda one: one.meta["org"])
    assert sorted((one.output, one.tenant) for one in by_call) == [("a@x", "x"), ("b@7", "7")]
    constant = tag.map(["t"], tenant="solo")
    assert [one.output for one in constant] == ["t@solo"]
    with run("for one", tenant="whole"):
        assert [one.tenant for one in tag.map(["u"])] == ["whole"]
    assert [one.tenant for one in tag.map(["v"])] == ["unattributed"]


def test_inputs_without_a_name(script: Script) -> None:
    """An input that item= or tenant= cannot name is counted, fails by itself, and stops nothing."""

    @agent
    def tag(ticket: Any) -> str:
        return run.key

    tickets: list[Any] = [{"id": "ok"}, {"nothing": 1}, {"id": None}, {"id": ""}, {"id": "x" * 501}]
    found = list(tag.map(tickets, item="id"))
    assert sorted(one.state for one in found) == ["completed"] + ["failed"] * 4
    reasons = sorted(one.reason or "" for one in found if one.state == "failed")
    assert all(reason.startswith("it could not be named") for reason in reasons)
    failing = list(tag.map([{"id": 1}, {"id": 2}], tenant=lambda one: 1 // (one["id"] - 1)))
    assert sorted(one.state for one in failing) == ["completed", "failed"]
    assert {one.findings[0].check for one in (*found, *failing) if one.flagged} == {"refused"}
    assert script.one("SELECT sum(count) FROM papayya.intake") == 7


def test_a_refused_input_whose_name_is_taken(script: Script) -> None:
    """A refused input is refused even when its content is another item's name."""
    seen: list[str] = []

    @agent
    def tag(word: str) -> str:
        seen.append(word)
        return word

    def name(word: str) -> str:
        if word == "a":
            raise LookupError("no name")
        return "a"

    with run("mixed"):
        results = list(tag.map(["b", "a"], item=name, concurrency=1))
    assert seen == ["b"]
    assert sorted((one.key, one.state) for one in results) == [
        ("a", "completed"),
        ("a#2", "failed"),
    ]


HOSTILE = [
    "a\x00b",
    "\ud800lone",
    "x" * 10_000,
    "a#2",
    "a",
    "line\nbreak",
    "\u202eevil",
    "'; --",
    " ",
]


def test_hostile_inputs(script: Script) -> None:
    """Any text is an input: it is stored and comes back, under a key that Postgres accepts."""

    @agent
    def echo(text: str) -> str:
        return text

    results = list(echo.map([*HOSTILE, "a"]))
    assert sorted(one.output for one in results) == sorted([*HOSTILE, "a"])
    assert script.one("SELECT count(DISTINCT (key, ordinal)) FROM papayya.item") == 10
    assert script.one("SELECT max(length(key)) FROM papayya.item") <= 500
    script.start(run_id=script.run())
    again = list(echo.map([*HOSTILE, "a"]))
    assert sorted(one.output for one in again) == sorted([*HOSTILE, "a"])


def test_hostile_names(script: Script) -> None:
    """A key that cannot be stored refuses its own input; in a constant it is the caller's error."""

    @agent
    def echo(text: str) -> str:
        return text

    results = {one.state for one in echo.map(["a\x00b", "\ud800"], item=lambda text: text)}
    assert results == {"failed"}
    with pytest.raises(InvalidKey, match="NUL"):
        echo.map(["a"], tenant="a\x00b")
    with pytest.raises(InvalidKey, match="1 to 500"):
        run("")
    with pytest.raises(ValueError, match="concurrency"):
        echo.map(["a"], concurrency=0)


def test_duplicates(script: Script) -> None:
    """In a named run equal inputs are one item and one payment, with a result for each of them."""
    paid: list[int] = []

    @agent
    def ask(n: int) -> int:
        paid.append(n)
        return n

    with run("named"):
        results = list(ask.map([1, 2, 1, 1], concurrency=4))
        more = list(ask.map([1]))
    assert sorted(one.output for one in results) == [1, 1, 1, 2]
    assert [one.output for one in more] == [1]
    assert sorted(paid) == [1, 2]


def test_resume(script: Script) -> None:
    """A map that is run again with the run's id skips finished items and steps."""
    paid = Till()
    broken = {"7"}

    @agent
    def work(n: str) -> str:
        first = run.task("first", lambda: paid.buy(n) * 2)
        if n in broken:
            raise KeyboardInterrupt
        return str(first)

    words = [str(n) for n in range(10)]
    with pytest.raises(KeyboardInterrupt):
        list(work.map(words, concurrency=2))
    assert "running" not in script.states().values()
    broken.clear()
    script.start(run_id=script.run())
    results = list(work.map(words, concurrency=2))
    assert sorted(one.output for one in results) == [n * 2 for n in words]
    assert sorted(paid) == words
    assert {one.state for one in work.map(words)} == {"completed"}
    assert sorted(paid) == words


def test_concurrency(script: Script) -> None:
    """As many items run side by side as concurrency says, and no more."""
    barrier = threading.Barrier(3, timeout=30)
    most: list[int] = []
    running: set[int] = set()

    @agent
    def meet(n: int) -> int:
        running.add(n)
        most.append(len(running))
        barrier.wait()
        running.discard(n)
        return n

    assert len(list(meet.map(range(6), concurrency=3))) == 6
    assert max(most) == 3


def test_a_consumer_that_leaves(script: Script) -> None:
    """A loop over results that is left early lets what is under way end; nothing stays running."""
    asked = half.map(list(range(14, 40)), concurrency=2)
    next(asked)
    asked.close()
    states = set(script.states().values())
    assert states <= {"completed", "queued"}

    async def leave() -> None:
        results = ahalf.amap(list(range(14, 40)), concurrency=2)
        await anext(results)
        await results.aclose()

    asyncio.run(leave())
    assert set(script.states().values()) <= {"completed", "queued"}
    script.change("UPDATE papayya.run SET sealed_at = now()")
