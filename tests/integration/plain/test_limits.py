"""Limits of an agent: steps, seconds, the schema of its output; and runs that are stopped by hand."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from pydantic import BaseModel

from papayya import ItemParked, ItemTookTooLong, ItemWasCancelled, agent, run
from tests.integration.plain.script import Script, Till


def test_max_steps(script: Script) -> None:
    """The step after the last that is allowed is not run; the item fails, also when it hides it."""
    till = Till()

    @agent(max_steps=2)
    def work(hide: bool) -> int:
        for n in range(5):
            try:
                run.task("step", till.buy, n)
            except BaseException:
                if not hide:
                    raise
        return 1

    with pytest.raises(ItemTookTooLong, match="2 steps"):
        work(False)
    with pytest.raises(ItemTookTooLong):
        work(True)
    assert till == [0, 1, 0, 1]
    assert script.checks("true") == script.checks("false") == ["max_steps"]
    assert set(script.states().values()) == {"failed"}


def test_max_seconds_of_coroutines(script: Script) -> None:
    """A coroutine that takes too long is cancelled and its item fails, in a map and by itself."""

    @agent(max_seconds=0.2)
    async def slow(n: int) -> int:
        if n:
            await asyncio.Event().wait()
        return n

    results = {one.key: one for one in slow.map([0, 1, 2])}
    assert [results[str(n)].state for n in range(3)] == ["completed", "failed", "failed"]
    assert [each.check for each in results["1"].findings] == ["max_seconds"]
    with pytest.raises(ItemTookTooLong, match=r"0\.2 seconds"):
        asyncio.run(slow(3))
    assert asyncio.run(slow(0)) == 0


def test_max_seconds_of_threads(script: Script) -> None:
    """A stuck thread is given up on: its item fails, the others go on, its late writes are lost."""
    free = threading.Event()
    written = threading.Event()

    @agent(max_seconds=0.3)
    def stuck(n: int) -> int:
        if n == 1:
            try:
                free.wait(60)
                run.task("late", int)
            finally:
                written.set()
        return n

    results = {one.key: one.state for one in stuck.map(range(4), concurrency=1)}
    assert results == {"0": "completed", "1": "failed", "2": "completed", "3": "completed"}
    free.set()
    assert written.wait(60)
    assert script.steps() == []
    assert script.checks("1") == ["max_seconds"]


def test_a_step_past_max_seconds(script: Script) -> None:
    """An item that notices at a step that its time is up fails there, with its own limit."""

    @agent(max_seconds=0.05)
    def work(n: int) -> None:
        threading.Event().wait(0.1)
        run.task("late", int)

    with pytest.raises(ItemTookTooLong):
        work(1)
    assert script.steps() == []


class Label(BaseModel):
    """What an output must look like."""

    tag: str
    score: float


def test_schema(script: Script) -> None:
    """An output that breaks the declared schema is flagged with what is wrong, and unchanged."""
    outputs: list[Any] = [
        {"tag": "a", "score": 0.5},
        Label(tag="b", score=1),
        {"tag": "c"},
        None,
        {"tag": "d", "score": "high"},
        Label.model_construct(tag=None, score=1.0),
    ]

    @agent(output=Label)
    def label(n: int) -> Any:
        return outputs[n]

    results = {int(one.key): one for one in label.map(range(6))}
    assert [results[n].outcome for n in range(6)] == ["ok", "ok", *["failed"] * 4]
    assert {one.state for one in results.values()} == {"completed"}
    assert [results[n].output for n in range(6)] == outputs
    assert [each.check for each in results[2].findings] == ["schema_violation"]
    assert results[2].reason == "score: Field required"
    assert results[4].flagged
    assert script.one("SELECT done, flagged FROM papayya.run_summary") == (2, 4)


def test_expected(script: Script) -> None:
    """expect= takes a count or keys; the audit of a sealed run names what never came."""

    @agent
    def work(n: str) -> str:
        return n

    with run("counted", expect=2):
        work("a")
        work("b")
    with run("named", expect=["a", "b"]) as named:
        work("a")
    found = script.rows("SELECT kind, key FROM papayya.unexplained_v1(%s)", named.id)
    assert found == [("expected", "b")]
    with run("named", run_id=named.id):
        work("b")
    assert script.rows("SELECT expect_count, expect_keys FROM papayya.run ORDER BY id") == [
        (2, None),
        (2, ["a", "b"]),
    ]
    with pytest.raises(TypeError, match="a collection of keys, not 'ab'"):
        run("named", expect="ab")
    with pytest.raises(ZeroDivisionError), run("left", expect=1) as left:
        raise ZeroDivisionError
    assert script.one("SELECT sealed_at FROM papayya.run WHERE name = %s", left.id) is None
    script.change("UPDATE papayya.run SET sealed_at = now(), expect_count = NULL")


def test_drain(script: Script) -> None:
    """A draining run starts nothing more; what is under way ends, the rest waits for a resume."""
    begun = threading.Event()
    drained = threading.Event()

    @agent
    def work(n: int) -> int:
        if n == 0:
            begun.set()
            drained.wait(60)
        return n

    def drain() -> None:
        begun.wait(60)
        script.change("UPDATE papayya.run SET draining = true")
        drained.set()

    thread = threading.Thread(target=drain)
    thread.start()
    results = {one.key: (one.state, one.reason) for one in work.map(range(4), concurrency=1)}
    thread.join()
    assert results.pop("0") == ("completed", None)
    assert set(results.values()) == {("queued", "the run is draining")}
    name = script.run()
    script.change("UPDATE papayya.run SET draining = true")
    script.start(run_id=name)
    assert {one.state for one in work.map(range(4))} == {"completed"}


def test_cancel(script: Script) -> None:
    """Cancelling a run ends what waits at once and what runs at its next step, for good."""
    till = Till()

    @agent
    def work(n: int) -> int:
        if n == 0:
            script.change("SELECT papayya.cancel_v1(%s, NULL, 'too dear')", script.run())
        run.task("paid", till.buy, n)
        run.task("more", till.buy, n)
        return n

    results = {one.key: (one.state, one.outcome) for one in work.map(range(3), concurrency=1)}
    assert set(results.values()) == {("cancelled", None)}
    assert till == [0]
    assert script.steps("0") == [("paid", "completed", 1)]
    assert set(script.column("SELECT reason FROM papayya.item")) == {"too dear"}
    script.start(run_id=script.run())
    with pytest.raises(ItemWasCancelled, match="cancelled"):
        work(9)


def test_paused_by_hand(script: Script) -> None:
    """An item that was paused by hand is parked until somebody releases it."""
    interrupt = [True]

    @agent
    def work(n: int) -> int:
        if interrupt[0]:
            raise KeyboardInterrupt
        return n

    with pytest.raises(KeyboardInterrupt):
        work(1)
    script.change("SELECT papayya.pause_v1(NULL, NULL, array_agg(id)) FROM papayya.item")
    interrupt[0] = False
    script.start(run_id=script.run())
    assert [(one.state, one.reason) for one in work.map([1])] == [("paused", "paused by hand")]
    script.start(run_id=script.run())
    with pytest.raises(ItemParked, match="papayya resume"):
        work(1)
    script.change("SELECT papayya.resume_v1(NULL, NULL, array_agg(id)) FROM papayya.item")
    assert [one.state for one in work.map([1])] == ["completed"]
