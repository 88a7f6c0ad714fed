"""Endings that go wrong: the item still ends, and what was paid is still counted."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from papayya import Agent, Finding, Identity, Throttled, agent, configure, hookimpl, run
from papayya.submissions import prepare
from papayya_core.execution import live_fences
from papayya_core.pump import Pump
from papayya_core.runtime import runtime
from papayya_core.testing.clock import Clock


class Unreadable(Exception):
    """Its message cannot be read."""

    def __str__(self) -> str:
        """Fail as carelessly written exceptions do."""
        raise ValueError


class Careless:
    """Finds something, and shows evidence that Postgres has no place for."""

    @hookimpl
    def check(self) -> list[Finding]:
        """Give NaN, a NUL and half a surrogate pair."""
        evidence = {"score": float("nan"), "text": "\x00\ud800", "what": {1, 2}}
        return [Finding("careless", "degraded", "x\x00y", evidence)]


def test_an_exception_without_a_message_fails_its_item_only(papayya_database: str) -> None:
    """An exception whose message raises ends its item as failed; the others complete."""

    @agent
    def work(n: int) -> int:
        if n == 1:
            raise Unreadable
        return n

    before = live_fences()
    states = {result.key: result.state for result in work.map([0, 1, 2])}
    assert states == {"0": "completed", "1": "failed", "2": "completed"}
    assert live_fences() <= before


def test_evidence_that_json_does_not_know(papayya_database: str) -> None:
    """A finding with NaN, NUL and a lone surrogate is kept, and the item ends."""
    configure(plugins=[Careless()])

    @agent
    def work(n: int) -> int:
        return n

    [result] = work.map([1])
    assert (result.state, result.outcome) == ("completed", "degraded")
    assert result.findings[0].check == "careless"


def test_cost_of_a_step_that_a_signal_ends(papayya_database: str) -> None:
    """What a step reported before it was throttled counts: it was paid."""
    tries: list[int] = []

    def ask() -> str:
        run.cost(usd="1")
        tries.append(1)
        if len(tries) == 1:
            raise Throttled("not now", 0.01)
        return "ok"

    @agent
    def work(n: int) -> Any:
        return run.task("ask", ask)

    [result] = work.map([1])
    assert (result.output, result.cost) == ("ok", Decimal(2))


def test_a_resumed_item_does_not_mix_up_nested_samples(papayya_database: str) -> None:
    """A sample taken after a recalled step is not the one that was taken inside it."""
    paid: list[int] = []
    stop = [True]

    def ask() -> int:
        paid.append(1)
        return len(paid)

    def outer() -> int:
        return int(run.task("ask", ask))

    @agent
    def work(n: int) -> list[int]:
        first = run.task("outer", outer)
        if stop.pop() if stop else False:
            raise Throttled("later", 0.01)
        return [first, run.task("ask", ask)]

    [result] = work.map([1])
    assert result.output == [1, 2]


def test_the_last_step_may_be_tried_again(papayya_database: str) -> None:
    """Another try of the last allowed step is not one step too many."""
    tries: list[int] = []

    def flaky() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("reset")
        return "ok"

    @agent(max_steps=1)
    def work(n: int) -> Any:
        return run.task("flaky", flaky)

    [result] = work.map([1])
    assert result.output == "ok"


def test_a_dispatch_that_nobody_works_under_is_given_up(papayya_clock: Clock) -> None:
    """A lease that its own process forgot goes back, although the heartbeat would renew it."""
    here = runtime()
    store = here.engine().store
    ref = here.register(Agent("forgetful", "1"))
    started = store.start_run("leak")
    one = prepare((1,), {}, Identity(), None, 10_000).submission
    captured, opened = store.enter(started.id, ref, one)
    assert opened.verdict == "go"
    papayya_clock.shift(5)
    pump = Pump(store, here.plugins, here.settings, here.owner)
    assert not pump.turn().swept
    [swept] = pump.turn().swept
    assert (swept.item_id, swept.state) == (captured.item_id, "queued")
