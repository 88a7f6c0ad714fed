"""What budgets do to work in the middle: nothing of it fails, and no hold is left behind."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta

import anthropic
import pytest

from papayya_core.testing.clock import Clock
from papayya_llm.credentials import fingerprint
from tests.acceptance.money.till import KEY, MOST, Till, states
from tests.chaos.purse import RUN, nusd

DEAR = "0.004"  # enough for two calls one after the other, not for three
NIGHT = datetime(2026, 3, 28, 22, 59, 59, tzinfo=UTC)  # a second before midnight in Berlin
WINDOWS = "SELECT sum(spent), sum(held) FROM papayya.budget_slot GROUP BY since ORDER BY since"
OTHER = "sk-till-second"


def test_new_day(till: Till, papayya_clock: Clock) -> None:
    """At midnight of its time zone a budget is whole again, and a late answer is the old day's."""
    papayya_clock.freeze(NIGHT)
    till.budget("--tenant", "acme", "--usd", DEAR, "--per", "day", "--timezone", "Europe/Berlin")
    future = till.spending(5)
    papayya_clock.freeze(NIGHT + timedelta(seconds=2))
    first = states(future.result())
    assert first["completed"] > 2, "the call before midnight, and those of a whole day"
    assert first["paused"] > 0
    entries = till.purse.entries()
    days = [entries[0].cost_nusd, sum(entry.cost_nusd for entry in entries[1:])]
    assert till.purse.query(WINDOWS) == [(days[0], 0), (days[1], 0)]
    papayya_clock.freeze(NIGHT + timedelta(days=1, seconds=2))  # 23 hours: summer begins
    assert states(till.spend(5)) == {"completed": 5}
    till.purse.clean()


def test_lowered_while_running(till: Till) -> None:
    """A budget that is lowered below what is under way shows its overdraft, and nothing fails."""
    till.spend(0)  # so that there is a run
    till.budget("--run", RUN, "--usd", "1")
    future = till.spending(3)
    till.budget("--run", RUN, "--usd", "0.0001")
    assert states(future.result()) == {"completed": 1, "paused": 2}
    [(left, overdraft, held)] = till.now("b.left, overdraft, held")
    assert (left, held) == (nusd("0.0001") - till.purse.billed(), 0)
    assert overdraft == -left > 0
    till.budget("--run", RUN, "--usd", "1")
    assert states(till.spend(3)) == {"completed": 3}
    till.purse.even()


def test_later_budget_refuses(till: Till) -> None:
    """Where the second of two budgets refuses, nothing is held on the first."""
    till.budget("--tenant", "acme", "--usd", "1")
    till.budget("--agent", "spend", "--usd", "0.0001")
    [result] = till.spend(1).values()
    assert (result.state, till.purse.provider.last()) == ("paused", 0)
    assert "of agent spend" in (result.reason or "")
    assert till.now("held, spent, parked") == [(0, 0, 0), (0, 0, 1)]
    till.budget("--agent", "spend", "--usd", "1")
    assert states(till.spend(1)) == {"completed": 1}
    assert {spent for (spent,) in till.now("spent")} == {till.purse.billed()}


@pytest.mark.parametrize("act", ["pause", "kill"])
def test_by_hand(till: Till, act: str) -> None:
    """What is paused or killed in the middle holds nothing; what was paused goes on."""
    till.budget("--tenant", "acme", "--usd", "1")
    future = till.spending(3)
    whom = ("--tenant", "acme") if act == "pause" else (RUN,)
    for _ in range(2):
        till.purse.papayya(act, *whom)
    found = states(future.result())
    assert sum(found.values()) == 3
    assert found["completed"] <= 1
    assert till.now("held") == [(0,)]
    assert len(till.purse.entries()) == 1
    if act == "pause":
        till.purse.papayya("resume", *whom)
        assert states(till.spend(3)) == {"completed": 3}
        assert len(till.purse.entries()) == 3
    till.purse.even()
    till.purse.audit()


def test_observed(till: Till) -> None:
    """An observer parks nothing, and shows what would have been, and by how much."""
    till.start(mode="observe")
    till.budget("--tenant", "acme", "--usd", "0.0001")
    assert states(till.spend(3)) == {"completed": 3}
    assert till.warned() == {"m0", "m1", "m2"}
    assert till.now("overdraft, held, parked") == [(till.purse.billed() - nusd("0.0001"), 0, 0)]
    till.purse.even()


def test_clamped(till: Till) -> None:
    """What is left bounds the answer of OpenAI's client, whatever was asked for."""
    till.start(clamp="1")
    till.budget("--tenant", "acme", "--usd", "0.0006")
    [result] = till.spend(1, lambda name: till.ask(name, most=4000)).values()
    assert (result.state, result.output) == ("completed", "length")
    [entry] = till.purse.entries()
    assert 0 < entry.output_tokens < 27
    assert 0 < entry.cost_nusd <= nusd("0.0006")
    assert states(till.spend(2)) == {"completed": 1, "paused": 1}
    till.purse.even()


def test_claude_clamped(till: Till) -> None:
    """The same with Anthropic's client, and an agent that asks for it."""
    till.budget("--tenant", "acme", "--usd", "0.0003")

    def ask(name: str) -> str | None:
        url = till.purse.provider.url
        with closing(anthropic.Anthropic(api_key="sk-ant-till", base_url=url)) as client:
            said = client.messages.create(
                model="claude-haiku-4-5",
                max_tokens=4000,
                messages=[{"role": "user", "content": f"{name}/only: I was charged twice."}],
            )
        return said.stop_reason

    [result] = till.spend(1, ask, clamp=True).values()
    assert (result.state, result.output) == ("completed", "max_tokens")
    [entry] = till.purse.entries()
    assert 0 < entry.cost_nusd <= nusd("0.0003")
    till.purse.even()


def test_unpriced(till: Till) -> None:
    """A model without a price is not asked under a budget in dollars, until it has one."""
    till.budget("--tenant", "acme", "--usd", "1")

    def ask(name: str) -> str:
        return till.ask(name, model="mystery-1")

    [result] = till.spend(1, ask).values()
    assert (result.state, till.purse.provider.last()) == ("paused", 0)
    assert (result.reason or "").startswith("unpriced: what mystery-1 of openai costs")
    till.purse.papayya("prices", "set", "mystery-1", "--input", "1", "--output", "5")
    till.purse.papayya("resume", RUN)
    assert states(till.spend(1, ask)) == {"completed": 1}
    till.purse.even()


def test_no_credit(till: Till) -> None:
    """An account without credit parks its items at once; they go on when it has some."""
    till.budget("--tenant", "acme", "--usd", "1")
    till.purse.provider.faults({"kind": "no_credit"})
    found = till.spend(2)
    assert states(found) == {"paused": 2}
    assert {(one.reason or "")[:9] for one in found.values()} == {"no credit"}
    assert len(till.purse.entries()) == 2, "no client has tried again"
    assert till.now("held, spent") == [(0, 0)]
    till.purse.provider.faults()
    till.purse.papayya("resume", RUN)
    assert states(till.spend(2)) == {"completed": 2}
    till.purse.even()


def test_two_keys(till: Till) -> None:
    """A budget of one key holds back what is asked with it, and nothing else."""
    till.purse.papayya("keys", "name", f"openai/{fingerprint(KEY)}", "production")
    till.budget("--key", "production", "--usd", DEAR)
    till.budget("--tenant", "acme", "--usd", "1")

    def ask(name: str) -> str:
        return till.ask(name, key=KEY if int(name[1:]) % 2 else OTHER)

    found = till.spend(12, ask)
    odd = {key: result for key, result in found.items() if int(key[1:]) % 2}
    assert states({k: r for k, r in found.items() if k not in odd}) == {"completed": 6}
    assert states(odd)["paused"] > 0
    labels = {entry.key.partition(":")[0] for entry in till.purse.entries()}
    assert labels == {KEY[-6:], OTHER[-6:]}
    paid = sum(e.cost_nusd for e in till.purse.entries() if e.key.startswith(KEY[-6:]))
    assert till.now("spent, held, amount >= spent") == [
        (paid, 0, True),
        (till.purse.billed(), 0, True),
    ]
    till.budget("--key", "production", "--usd", "1")
    assert states(till.spend(12, ask)) == {"completed": 12}


def test_item_cap(till: Till) -> None:
    """A cap on each item parks the one that would pass it; it goes on when it is raised."""

    def twice(name: str) -> list[str]:
        return [till.ask(name, most=most) for most in (MOST, 4000)]

    [result] = till.spend(1, twice, max_item_usd="0.01").values()
    assert result.state == "paused"
    assert (result.reason or "").startswith("max_item_usd:")
    till.purse.papayya("resume", RUN)
    assert states(till.spend(1, twice, max_item_usd="1")) == {"completed": 1}
    assert len(till.purse.entries()) == 2
