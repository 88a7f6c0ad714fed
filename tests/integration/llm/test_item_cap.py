"""What one item may spend: the call that could pass it is not sent, and the item parks."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import openai
import psycopg
import pytest

from papayya import ItemParked, agent, run
from papayya_core import rules
from papayya_core.store import acts
from tests.integration.llm import shapes
from tests.integration.llm.shapes import ASK
from tests.integration.llm.world import World

LEFT = re.compile(
    r"max_item_usd: \$([\d.]+) is left of \$[\d.]+ for each item, the call may cost (.+)"
)


def ask(client: openai.OpenAI, n: int) -> Any:
    """Ask for at most fifty tokens."""
    content = f"{n}. What is wrong?"
    messages: Any = [{"role": "user", "content": content}]
    made = client.chat.completions.create(model=ASK["model"], messages=messages, max_tokens=50)
    return made.choices[0].message.content


def work(world: World, name: str, times: int, **options: Any) -> Any:
    """Run an item of so many steps with a call each, in the run of that name."""

    @agent(name=name, **options)
    def body(item: int) -> int:
        with shapes.gpt(world.url) as client:
            for n in range(times):
                run.task("ask", ask, client, n, key=str(n))
        return times

    with run(name, run_id=name):
        return body(1)


def parked(world: World, name: str, times: int, **options: Any) -> str:
    """Run an item that parks; return why."""
    with pytest.raises(ItemParked):
        work(world, name, times, **options)
    sql = "SELECT state::text, paused_by::text, reason FROM papayya.item_now WHERE run = %s"
    state, paused_by, reason = world.script.one(sql, name)
    assert (state, paused_by) == ("paused", "code")
    return str(reason)


def bound(world: World) -> Decimal:
    """Return what a call may cost at most, as its refusal says."""
    found = LEFT.fullmatch(parked(world, "bound", 1, max_item_usd="0.000001"))
    assert found is not None
    return Decimal(found[2].removeprefix("$"))


def test_refused_before_it_is_sent(world: World) -> None:
    """A call that could pass the cap is not sent; why, and what is left, is said."""
    before = len(world.stand_in.entries())
    reason = parked(world, "tight", 1, max_item_usd="0.000001")
    assert reason.startswith("max_item_usd: $0.000001 is left of $0.000001 for each item, the call")
    assert len(world.stand_in.entries()) == before
    assert world.calls("tight") == []


def test_within_the_cap(world: World) -> None:
    """What stays within the cap is not touched by it."""
    assert work(world, "wide", 3, max_item_usd=1) == 3


def test_in_the_middle(world: World) -> None:
    """What was done stays done: with a higher cap the item goes on where it stopped."""
    most = bound(world)
    before = len(world.stand_in.entries())
    parked(world, "middle", 3, max_item_usd=most * Decimal("1.01"))
    done = len(world.stand_in.entries()) - before
    assert 1 <= done < 3
    with psycopg.connect(world.script.dsn, autocommit=True) as connection:
        acts.resume(connection, "middle")
    assert work(world, "middle", 3, max_item_usd=1) == 3
    assert len(world.stand_in.entries()) - before == 3


def test_what_was_spent_before_counts(world: World) -> None:
    """An item that is resumed under the same cap is refused again: it is a cap for all its life."""
    most = bound(world)
    parked(world, "again", 3, max_item_usd=most * Decimal("1.01"))
    before = len(world.stand_in.entries())
    with psycopg.connect(world.script.dsn, autocommit=True) as connection:
        acts.resume(connection, "again")
    parked(world, "again", 3, max_item_usd=most * Decimal("1.01"))
    assert len(world.stand_in.entries()) == before


def test_what_is_answered_again_needs_no_cap(world: World) -> None:
    """An item that died goes on under its cap: answers of the journal cost nothing, and hold nothing."""
    most = bound(world)
    work(world, "free", 2)
    first, second = world.calls("free", "cost_nusd")
    usd = most + rules.usd(first + second // 2)
    begun: list[int] = []

    @agent(name="dies", max_item_usd=usd)
    def body(item: int) -> int:
        begun.append(item)
        with shapes.gpt(world.url) as client:
            for n in range(2):
                ask(client, n)
        if len(begun) == 1:
            raise RuntimeError("it dies here")
        return len(begun)

    with run("dies", run_id="dies"):
        with pytest.raises(RuntimeError):
            body(1)
        world.retry("dies")
        assert body(1) == 2
    assert world.calls("dies") == ["answered"] * 2 + ["replayed"] * 2


def test_no_bound(world: World) -> None:
    """A call without a bound takes all that is left of the cap: the first goes, the next does not."""
    before = len(world.stand_in.entries())

    @agent(name="boundless", max_item_usd="0.000001")
    def body(item: int) -> None:
        with shapes.gpt(world.url) as client:
            for _ in range(2):
                client.chat.completions.create(**ASK, extra_body={"web_search_options": {}})

    with run("boundless", run_id="boundless"), pytest.raises(ItemParked):
        body(1)
    assert len(world.stand_in.entries()) == before + 1


def test_a_setting_for_all(world: World) -> None:
    """PAPAYYA_MAX_ITEM_USD caps the items of agents that do not say it."""
    world.script.start(max_item_usd="0.000001")
    parked(world, "silent", 1)
    assert work(world, "says", 1, max_item_usd=1) == 1


def test_observed(world: World) -> None:
    """An observer lets it go, and notes what it would have done."""
    world.script.start(mode="observe")
    assert work(world, "observed", 1, max_item_usd="0.000001") == 1
    [(check, reason)] = world.findings()
    assert check == "would_pause"
    assert reason.startswith("max_item_usd: ")


def test_reported_costs(world: World) -> None:
    """Costs that are reported count: after they have passed the cap no step begins."""

    @agent(name="reports", max_item_usd="0.05")
    def body(item: int) -> None:
        run.task("first", run.cost, usd="0.06")
        run.task("second", int)

    with run("reports", run_id="reports"), pytest.raises(ItemParked, match="max_item_usd"):
        body(1)
    assert world.script.steps() == [("first", "completed", 1)]


def test_a_step_that_says_its_cost(world: World) -> None:
    """A step that may cost more than is left of the cap is not begun."""

    @agent(name="declares", max_item_usd="0.05")
    def body(item: int) -> None:
        run.task("first", run.cost, usd="0.02")
        run.task("second", int, max_cost="0.04")

    with run("declares", run_id="declares"), pytest.raises(ItemParked, match=r"may cost \$0\.04"):
        body(1)


@pytest.mark.parametrize("cap", [-1, "0.0000000001", "much"])
def test_a_cap_that_is_none(cap: object) -> None:
    """A cap that is no amount is refused where the agent is defined."""
    with pytest.raises(ValueError, match=r"max_item_usd|amount|US dollars"):
        agent(name="wrong", max_item_usd=cap)(lambda item: item)
