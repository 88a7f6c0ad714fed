"""Leader/follower batching: every caller gets its own result, whoever wrote its row."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papayya_core.errors import StoreUnavailable
from papayya_core.store.combine import Combiner
from papayya_core.store.combine_async import AsyncCombiner


class Table:
    """What was flushed; a flush can be held open, and refuses bad rows."""

    def __init__(self, bad: frozenset[int] = frozenset()) -> None:
        self.batches: list[list[int]] = []
        self.bad = bad
        self.gate = threading.Event()
        self.gate.set()

    def flush(self, rows: list[int]) -> list[int]:
        """Write rows together."""
        self.batches.append(list(rows))
        assert self.gate.wait(30)
        if self.bad & set(rows):
            raise ValueError(f"refused {sorted(self.bad & set(rows))}")
        return [row * 10 for row in rows]


class Held:
    """Threads that submit while the first flush is held open."""

    def __init__(self, table: Table, lanes: int = 1) -> None:
        self.combiner: Combiner[int, int] = Combiner(table.flush, lanes)
        self.table = table
        self.pool = ThreadPoolExecutor(64)
        self.first = self.start(0)

    def start(self, row: int) -> Any:
        """Submit a row from a thread, and wait until it has joined or leads."""
        before = len(self.combiner._pending), len(self.table.batches)
        if not self.table.batches:
            self.table.gate.clear()
        future = self.pool.submit(self.combiner.submit, row)
        wait_until(lambda: (len(self.combiner._pending), len(self.table.batches)) != before)
        return future

    def end(self) -> None:
        """Let everything go on."""
        self.table.gate.set()
        self.pool.shutdown()


def wait_until(condition: Any, seconds: float = 30) -> None:
    """Poll until a condition holds."""
    done = threading.Event()
    for _ in range(int(seconds * 1000)):
        if condition():
            return
        done.wait(0.001)
    raise AssertionError("it never came true")


def test_alone() -> None:
    """A caller without company pays for exactly one statement of one row."""
    table = Table()
    combiner: Combiner[int, int] = Combiner(table.flush, 2)
    assert [combiner.submit(n) for n in (1, 2, 3)] == [10, 20, 30]
    assert table.batches == [[1], [2], [3]]


def test_company() -> None:
    """Rows that come while a statement is under way share the next one."""
    held = Held(Table())
    others = [held.start(n) for n in range(1, 6)]
    held.end()
    assert [future.result() for future in (held.first, *others)] == [0, 10, 20, 30, 40, 50]
    assert held.table.batches == [[0], [1, 2, 3, 4, 5]]


def test_a_bad_row_fails_alone() -> None:
    """When a batch is refused it is written row by row: the bad one raises, the others are kept."""
    held = Held(Table(frozenset({3})))
    others = {n: held.start(n) for n in range(1, 6)}
    held.end()
    for n, future in others.items():
        if n == 3:
            assert isinstance(future.exception(), ValueError)
        else:
            assert future.result() == n * 10
    assert held.table.batches == [[0], [1, 2, 3, 4, 5], [1], [2], [3], [4], [5]]


def test_no_server() -> None:
    """When Postgres is away a batch fails as one: its rows are not each waited for."""
    calls: list[list[int]] = []
    gate = threading.Event()

    def flush(rows: list[int]) -> list[int]:
        calls.append(rows)
        assert gate.wait(30)
        raise StoreUnavailable("away")

    combiner: Combiner[int, int] = Combiner(flush, 1)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(combiner.submit, 0)
        wait_until(lambda: calls)
        others = [pool.submit(combiner.submit, n) for n in (1, 2, 3)]
        wait_until(lambda: len(combiner._pending) == 3)
        gate.set()
        assert all(isinstance(one.exception(), StoreUnavailable) for one in (first, *others))
    assert len(calls) == 2


def test_an_interrupted_leader() -> None:
    """When Ctrl-C hits the leader, the rows it was writing for others go again with another."""
    gate = threading.Event()
    batches: list[list[int]] = []

    def flush(rows: list[int]) -> list[int]:
        batches.append(list(rows))
        assert gate.wait(30)
        if len(batches) == 2:
            raise KeyboardInterrupt
        return [row * 10 for row in rows]

    combiner: Combiner[int, int] = Combiner(flush, 1)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(combiner.submit, 0)
        wait_until(lambda: batches)
        others = []
        for n in range(1, 5):
            others.append(pool.submit(combiner.submit, n))
            wait_until(lambda n=n: len(combiner._pending) == n)
        gate.set()
        assert first.result(30) == 0
        assert isinstance(others[0].exception(30), KeyboardInterrupt)
        assert [one.result(30) for one in others[1:]] == [20, 30, 40]
    assert combiner._busy == 0


@pytest.mark.parametrize("gone", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_follower_that_leaves(gone: int, when: str) -> None:
    """A cancelled follower, or heir to the lead, keeps nobody else waiting."""

    async def work() -> None:
        gate, second = asyncio.Event(), asyncio.Event()
        batches: list[list[int]] = []

        async def flush(rows: list[int]) -> list[int]:
            batches.append(list(rows))
            if len(batches) == 2:
                second.set()
            await gate.wait()
            return [row * 10 for row in rows]

        combiner: AsyncCombiner[int, int] = AsyncCombiner(flush, 1)
        tasks = [asyncio.ensure_future(combiner.submit(0))]
        await asyncio.sleep(0)
        tasks += [asyncio.ensure_future(combiner.submit(n)) for n in range(1, 6)]
        await asyncio.sleep(0)
        if when == "before":
            tasks[gone].cancel()
        gate.set()
        if when == "after":
            await second.wait()
            tasks[gone].cancel()
        done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
        for n, result in enumerate(done):
            left = n == gone and isinstance(result, asyncio.CancelledError)
            assert left or result == n * 10
        assert await combiner.submit(9) == 90
        assert combiner._busy == 0

    asyncio.run(work())


def test_a_follower_that_leaves_a_batch_under_way() -> None:
    """A follower that is cancelled while its row is written breaks the chain for nobody."""

    async def work() -> None:
        gates = [asyncio.Event(), asyncio.Event()]
        second = asyncio.Event()
        batches: list[list[int]] = []

        async def flush(rows: list[int]) -> list[int]:
            batches.append(list(rows))
            if len(batches) == 2:
                second.set()
            await gates[len(batches) - 1].wait()
            return [row * 10 for row in rows]

        combiner: AsyncCombiner[int, int] = AsyncCombiner(flush, 1)
        tasks = [asyncio.ensure_future(combiner.submit(0))]
        await asyncio.sleep(0)
        tasks += [asyncio.ensure_future(combiner.submit(n)) for n in range(1, 6)]
        await asyncio.sleep(0)
        gates[0].set()
        await second.wait()
        tasks[3].cancel()
        await asyncio.sleep(0)
        gates[1].set()
        done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
        assert isinstance(done[3], asyncio.CancelledError)
        assert [one for n, one in enumerate(done) if n != 3] == [0, 10, 20, 40, 50]

    asyncio.run(work())


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=6), min_size=1, max_size=8),
    st.integers(1, 3),
    st.integers(1, 4),
    st.sets(st.integers(1, 99), max_size=10),
)
def test_any_company(rows: list[list[int]], lanes: int, limit: int, bad: set[int]) -> None:
    """Any number of threads, lanes and bad rows: each row is written once and answers its caller."""
    table = Table(frozenset(bad))
    combiner: Combiner[int, int] = Combiner(table.flush, lanes, company=2, limit=limit)

    def work(mine: list[int]) -> list[int | None]:
        found: list[int | None] = []
        for row in mine:
            try:
                found.append(combiner.submit(row))
            except ValueError:
                found.append(None)
        return found

    with ThreadPoolExecutor(len(rows)) as pool:
        results = list(pool.map(work, rows))
    expected = [[None if row in bad else row * 10 for row in mine] for mine in rows]
    assert results == expected
    assert max(map(len, table.batches)) <= limit
    good = sorted(row for batch in table.batches if not bad & set(batch) for row in batch)
    assert good == sorted(row for mine in rows for row in mine if row not in bad)
    assert combiner._busy == 0
