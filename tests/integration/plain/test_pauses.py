"""Pauses by hand, as a script sees them: it stops at a step, and goes on after a resume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from papayya import Paused, agent, run
from papayya_core.errors import ItemParked
from papayya_core.store import acts
from tests.integration.plain.script import Script, Till


@pytest.fixture
def by_hand(papayya_database: str) -> Any:
    """A connection of somebody else's."""
    with psycopg.connect(papayya_database, autocommit=True) as connection:
        yield connection


def buyer(till: Till, meanwhile: Callable[[int], object]) -> Any:
    """An agent of two paid steps; ``meanwhile`` happens inside the first, with its number."""

    def first(n: int) -> int:
        meanwhile(n)
        return int(till.buy(n))

    @agent
    def work(n: int) -> int:
        return int(run.task("first", first, n)) + int(run.task("second", till.buy, 10 * n))

    return work


def test_a_map_in_progress(script: Script, by_hand: Any) -> None:
    """A paused run parks what is at work at its next step, and what comes later before it begins."""
    till = Till()
    work = buyer(till, lambda _: acts.pause(by_hand, script.run()))
    results = list(work.map([1, 2], concurrency=1))
    assert [(one.state, one.reason) for one in results] == [("paused", "paused by hand")] * 2
    assert till == [1]
    assert script.column("SELECT paused_by::text FROM papayya.item") == ["hand", "hand"]
    assert script.column("SELECT deliveries FROM papayya.item ORDER BY id") == [0, 0]


def test_going_on(script: Script, by_hand: Any) -> None:
    """What was paused goes on after a resume with the run's id, and pays for no finished step twice."""
    till, paused = Till(), [True]
    work = buyer(till, lambda _: paused[0] and acts.pause(by_hand, script.run()))
    list(work.map([1, 2], concurrency=1))
    paused[0] = False
    name = script.run()
    script.start(run_id=name)
    assert [one.state for one in work.map([1, 2])] == ["paused", "paused"]
    assert acts.resume(by_hand, name) == 2
    assert acts.resume(by_hand, name) == 0
    script.start(run_id=name)
    assert sorted((one.state, one.output) for one in work.map([1, 2])) == [
        ("completed", 11),
        ("completed", 22),
    ]
    assert sorted(till) == [1, 2, 10, 20]


@pytest.mark.anyio
async def test_an_async_map(script: Script, by_hand: Any) -> None:
    """An async item parks at its next step, too, and its caller learns why."""
    till = Till()

    def first(n: int) -> int:
        acts.pause(by_hand, items=script.column("SELECT id FROM papayya.item"))
        return int(till.buy(n))

    @agent
    async def work(n: int) -> int:
        run.task("first", first, n)
        return int(run.task("second", till.buy, 10 * n))

    results = [one async for one in work.amap([1])]
    assert [(one.state, one.reason) for one in results] == [("paused", "paused by hand")]
    script.start(run_id=script.run())
    with pytest.raises(ItemParked, match=r"paused by hand\. `papayya resume work-"):
        await work(1)
    assert till == [1]


def test_nothing_left_to_hold(script: Script, by_hand: Any) -> None:
    """An item that is paused in its last step has nothing left to be held: it completes."""
    till = Till()

    @agent
    def work(n: int) -> int:
        def last(n: int) -> int:
            acts.pause(by_hand, script.run())
            return int(till.buy(n))

        return int(run.task("last", last, n))

    assert [(one.state, one.output) for one in work.map([1])] == [("completed", 1)]


def test_taken_back(script: Script, by_hand: Any) -> None:
    """An item that is resumed before it got to its next step does not stop."""

    def meanwhile(_: int) -> None:
        acts.pause(by_hand, script.run())
        acts.resume(by_hand, script.run())

    assert [one.output for one in buyer(Till(), meanwhile).map([1])] == [11]


def test_a_tenant(script: Script, by_hand: Any) -> None:
    """A paused tenant's items park; the others' do not notice."""
    till = Till()
    work = buyer(till, lambda n: n == 1 and acts.pause(by_hand, tenant="acme"))
    names = ["other", "acme", "acme", "other"]
    results = list(work.map(range(4), tenant=names.__getitem__, item=str, concurrency=1))
    assert {one.key: one.state for one in results} == {
        "0": "completed",
        "1": "paused",
        "2": "paused",
        "3": "completed",
    }
    assert acts.resume(by_hand, tenant="acme") == 2
    script.start(run_id=script.run())
    work = buyer(till, lambda _: None)
    again = work.map(range(4), tenant=names.__getitem__, item=str)
    assert {one.state for one in again} == {"completed"}
    assert sorted(till) == [0, 0, 1, 2, 3, 10, 20, 30]


def test_a_part_of_an_item(script: Script, by_hand: Any) -> None:
    """An item whose part is paused parks with it, and both go on when the run is resumed."""
    till, paused = Till(), [True]

    def pause_the_part(_: int) -> None:
        if paused[0]:
            parts = "SELECT id FROM papayya.item WHERE parent_id IS NOT NULL"
            assert acts.pause(by_hand, items=script.column(parts)) == 1

    part = buyer(till, pause_the_part)

    @agent(name="whole")
    def whole(n: int) -> int:
        return int(part(n))

    [result] = whole.map([1])
    assert (result.state, result.reason) == ("paused", "paused by hand")
    by = "SELECT paused_by::text FROM papayya.item ORDER BY id"
    assert script.column(by) == ["code", "hand"]
    paused[0] = False
    assert acts.resume(by_hand, script.run()) == 2
    script.start(run_id=script.run())
    assert [one.output for one in whole.map([1])] == [11]
    assert till == [1, 10]


def test_paused_by_the_code(script: Script, by_hand: Any) -> None:
    """An item that raised Paused stays so until it is resumed, whatever its run does."""
    ready = [False]

    @agent
    def work(n: int) -> int:
        if not ready[0]:
            raise Paused("the index is rebuilt")
        return n

    [result] = work.map([1])
    assert (result.state, result.reason) == ("paused", "the index is rebuilt")
    assert script.column("SELECT paused_by::text FROM papayya.item") == ["code"]
    ready[0] = True
    script.start(run_id=script.run())
    assert [one.state for one in work.map([1])] == ["paused"]
    acts.resume(by_hand, script.run())
    assert [one.state for one in work.map([1])] == ["completed"]
