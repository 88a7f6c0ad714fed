"""``papayya().run("my-agent")``: one item, opened and completed by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from papayya import (
    BudgetExhausted,
    ItemFailed,
    ItemParked,
    ItemTookTooLong,
    ItemWasCancelled,
    agent,
    papayya,
    run,
)
from papayya_core import context
from tests.integration.plain.script import Script, Till


def test_by_hand(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    """Tasks are checkpointed, resumed by run id without being run, and completed with a result."""
    till = Till()

    def work(**options: Any) -> Any:
        mine = papayya().run("my-agent", **options)
        found = mine.task("search", till.buy, "s")
        return mine, run.task("summarize", till.buy, found + "!")

    first, _ = work()
    assert f"PAPAYYA_RUN_ID={first.run_id}" in capsys.readouterr().err
    assert script.states() == {"my-agent": "running"}
    script.start()  # the process ends without completing it
    assert script.states() == {"my-agent": "queued"}
    second, found = work(run_id=first.run_id)
    assert till == ["s", "s!"]
    second.complete(found)
    assert script.states() == {"my-agent": "completed"}
    assert context.current() is None
    assert script.one("SELECT sealed_at IS NOT NULL FROM papayya.run") is True

    third, found = work(run_id=first.run_id)
    assert (third.ended, third.result, found) == (True, "s!", "s!")
    assert till == ["s", "s!"]
    third.complete("other")
    assert third.result == "s!"


def test_a_completed_run(script: Script) -> None:
    """A completed run returns its finished tasks and runs no new ones."""
    till = Till()
    for resumed in (False, True):
        options = {"run_id": script.run()} if resumed else {}
        mine = papayya().run("my-agent", **options)
        assert mine.task("known", till.buy, 1) == 1
        mine.complete("done")
        with pytest.raises(ItemFailed, match="has ended"):
            mine.task("new", till.buy, 2)
        assert till == [1]


def test_with_block(script: Script) -> None:
    """A block completes the item at its end, or fails it with the exception that left it."""
    with papayya().run("ok", tenant="acme", item="i1", input={"q": 1}) as mine:
        assert (mine.key, mine.tenant) == ("i1", "acme")
        assert run.key == "i1"
        mine.complete(7)
    with pytest.raises(ZeroDivisionError), papayya().run("bad", item="i2"):
        raise ZeroDivisionError
    with pytest.raises(KeyboardInterrupt), papayya().run("cut", item="i3"):
        raise KeyboardInterrupt
    assert script.states() == {"i1": "completed", "i2": "failed", "i3": "queued"}
    assert context.current() is None
    with pytest.raises(ItemFailed, match="papayya retry"):
        papayya().run("bad", item="i2", run_id=script.column("SELECT name FROM papayya.run")[1])
    script.change("UPDATE papayya.run SET sealed_at = now()")


def test_async_tasks(script: Script) -> None:
    """A handle runs async functions too, when they are awaited."""

    async def ask(n: int) -> int:
        await asyncio.sleep(0)
        return n + 1

    async def work() -> int:
        mine = papayya().run("async")
        first = await mine.task("ask", ask, 1)
        second = await run.task("ask", ask, first)
        mine.complete(second)
        return int(second)

    assert asyncio.run(work()) == 3
    assert script.steps() == [("ask", "completed", 1)] * 2


def test_inside_an_agent(script: Script) -> None:
    """A handle that is opened inside an item gives the item back when it is completed."""

    @agent
    def outer(word: str) -> str:
        mine = papayya().run("inner", item="part")
        assert run.key == "part"
        mine.complete(1)
        return run.key

    assert outer("w") == "w"


def test_an_exception(script: Script) -> None:
    """A task's exception passes unchanged and leaves the item open for another task."""
    mine = papayya().run("careful")
    with pytest.raises(ZeroDivisionError):
        mine.task("divide", lambda: 1 // 0)
    assert mine.task("divide", lambda: 1) == 1
    mine.complete("fine")
    assert script.states() == {"careful": "completed"}


@pytest.mark.parametrize("way", ["handle", "proxy", "async"])
def test_signals_become_exceptions(script: Script, way: str) -> None:
    """A limit that is reached raises an ordinary exception at the step, and ends the handle."""

    @agent(name="limited", max_steps=1)
    def limited(n: int) -> None:
        """Never called."""

    async def aint() -> int:
        return 1

    def step(mine: Any) -> None:
        if way == "handle":
            mine.task("a", int)
        elif way == "proxy":
            run.task("a", int)
        else:

            async def work() -> None:
                await mine.task("a", aint)

            asyncio.run(work())

    assert limited.definition.max_steps == 1
    mine = papayya().run("limited")
    step(mine)
    with pytest.raises(ItemTookTooLong, match="1 steps"):
        step(mine)
    assert script.states() == {"limited": "failed"}
    assert (context.current() is None) or way == "async"  # a loop has a context of its own


def test_a_budget(script: Script) -> None:
    """Without budget the step raises BudgetExhausted; with a higher one the run goes on there."""
    till = Till()

    def pay(n: int) -> int:
        run.cost(usd=1)
        return int(till.buy(n))

    def work(budget: object, **options: Any) -> str:
        with run("capped", budget_usd=budget, **options) as capped:
            name = capped.id
        mine = papayya().run("capped", run_id=name)
        for n in range(3):
            mine.task("pay", pay, n)
        mine.complete(list(till))
        return name

    with pytest.raises(BudgetExhausted, match="papayya budget set"):
        work(2)
    name = script.run()
    assert till == [0, 1]
    assert script.states() == {"capped": "paused"}
    assert context.current() is None
    with pytest.raises(BudgetExhausted):
        work(2, run_id=name)
    work(5, run_id=name)
    assert till == [0, 1, 2]
    assert script.states() == {"capped": "completed"}


def test_cancelled_and_throttled(script: Script) -> None:
    """A cancelled item raises at its next step; one that must wait is parked until then."""
    mine = papayya().run("cut")
    mine.task("a", int)
    script.change("SELECT papayya.cancel_v1(%s, NULL, 'too dear')", mine.run_id)
    mine.task("b", int)  # it was under way: recorded
    with pytest.raises(ItemWasCancelled):
        mine.task("c", int)
    assert script.one("SELECT reason FROM papayya.item") == "too dear"

    class Busy(Exception):
        """429 with Retry-After."""

        status_code = 429

        class response:  # noqa: N801
            """The provider's answer."""

            headers = {"retry-after": "30"}  # noqa: RUF012

    def ask() -> None:
        raise Busy

    mine = papayya().run("slow")
    with pytest.raises(ItemParked, match="429"):
        mine.task("ask", ask)
    assert script.states()["slow"] == "waiting"
    script.change("UPDATE papayya.run SET sealed_at = now()")
