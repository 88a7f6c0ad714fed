"""Budgets, and the modes that act on them: enforce, observe, off."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from papayya import BudgetExhausted, agent, papayya, run
from tests.integration.plain.script import Script, Till

till = Till()


@pytest.fixture(autouse=True)
def _empty_till() -> None:
    till.clear()


def pay(n: int) -> int:
    run.cost(usd="0.10")
    return int(till.buy(n))


@agent
def work(n: int) -> int:
    first = run.task("first", pay, n)
    return int(run.task("second", pay, first + 100))


def test_a_map_drains(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    """An exhausted budget parks items at a step, fails nothing, and says how to go on."""
    with run("capped", budget_usd="0.50") as capped:
        results = list(work.map(range(5), concurrency=1))
    assert [one.state for one in results] == ["completed"] * 2 + ["paused"] * 3
    assert len(till) == 5
    reason = f"budget: nothing is left of $0.5 of run {capped.id}"
    assert {one.reason for one in results[3:]} == {reason}
    assert (results[2].reason or "").startswith("budget: $0")
    assert results[2].cost == Decimal("0.10")  # what its finished step has cost
    assert "3 items are parked" in capsys.readouterr().err
    assert script.column("SELECT deliveries FROM papayya.item ORDER BY id") == [1, 1, 0, 0, 0]

    script.start()
    with run("capped", budget_usd="0.70", run_id=capped.id):
        assert {one.state for one in work.map(range(5), concurrency=1)} == {"completed", "paused"}
    assert len(till) == 7
    script.start()
    with run("capped", budget_usd=5, run_id=capped.id):
        assert {one.output for one in work.map(range(5))} == {100, 101, 102, 103, 104}
    assert sorted(till) == sorted([*range(5), *range(100, 105)])
    assert script.one("SELECT cost_nusd FROM papayya.run_summary") == 1_000_000_000


def test_raised_while_it_runs(script: Script) -> None:
    """Raising a budget counts at the next step, in the same process."""

    @agent
    def ask(n: int) -> int:
        for k in range(6):
            run.task("ask", pay, k)
            if k == 2:
                with run("capped", budget_usd=1, run_id=run.id):
                    pass
        return n

    with run("capped", budget_usd="0.40"):
        assert ask(1) == 1
    assert len(till) == 6


def test_an_agents_budget(script: Script) -> None:
    """An agent's own budget caps it in each run, and leaves other agents alone."""

    @agent(budget_usd="0.25")
    def thrifty(n: int) -> int:
        return int(run.task("pay", pay, n))

    with run("two agents"):
        assert [one.state for one in thrifty.map(range(5), concurrency=1)] == [
            *["completed"] * 2,  # it is known then what the next one may cost
            *["paused"] * 3,
        ]
        assert {one.state for one in work.map(range(2))} == {"completed"}
    with pytest.raises(BudgetExhausted):
        [thrifty(n) for n in range(9)]
    assert script.rows("SELECT count(*) FROM papayya.item WHERE state = 'failed'") == [(0,)]


def test_max_cost(script: Script) -> None:
    """A step that may cost more than is left does not start; a smaller one does."""

    @agent
    def careful(n: int) -> Any:
        run.task("small", pay, 1, max_cost="0.10")
        return run.task("large", pay, 2, max_cost="0.45")

    with (
        run("capped", budget_usd="0.50") as capped,
        pytest.raises(BudgetExhausted, match="may cost"),
    ):
        careful(1)
    assert till == [1]
    with run("capped", budget_usd="0.55", run_id=capped.id):
        assert careful(1) == 2
    assert till == [1, 2]


def test_outside_steps(script: Script) -> None:
    """What an item costs outside of steps counts against the budget of those after it."""

    @agent
    def loose(n: int) -> int:
        run.cost(usd=Decimal("0.30"))
        return n

    with run("capped", budget_usd="0.50"):
        states = [one.state for one in loose.map(range(4), concurrency=1)]
    assert states == ["completed", "completed", "paused", "paused"]


def test_a_nested_pause(script: Script) -> None:
    """A part that pauses pauses the whole; both go on when the budget is raised."""

    @agent
    def part(n: int) -> int:
        return int(run.task("pay", pay, n))

    @agent
    def whole(n: int) -> int:
        try:
            return part(n) + part(n + 1)
        except Exception:
            return -1

    with run("capped", budget_usd="0.10") as capped, pytest.raises(BudgetExhausted):
        whole(1)
    assert script.states() == {"1": "paused", "1/1": "completed", "1/2": "paused"}
    with run("capped", budget_usd=1, run_id=capped.id):
        assert whole(1) == 3
    assert till == [1, 2]


def test_observe(script: Script) -> None:
    """In the mode observe everything runs, and items say where they would have paused."""
    script.start(mode="observe")
    with run("capped", budget_usd="0.15"):
        results = list(work.map(range(3), concurrency=1))
    assert {one.state for one in results} == {"completed"}
    assert len(till) == 6
    notes = [{each.check for each in one.findings} for one in results]
    assert notes == [set(), {"would_pause"}, {"would_pause"}]
    assert {one.outcome for one in results} == {"ok"}


def test_off(script: Script) -> None:
    """In the mode off agents and run are plain Python: no database is asked, all methods work."""
    script.start(mode="off", database_url="postgresql://nobody@localhost:1/none")

    @agent
    def whole(n: int) -> Any:
        run.cost(usd=1)
        stable = (run.now(), run.uuid(), run.idempotency_key("a"), run.key, run.tenant)
        assert all(stable)
        run.complete(run.task("add", lambda: n + 1, side_effect=True))
        return run.agent.name

    @agent
    async def later(n: int) -> int:
        async def add() -> int:
            return n + 1

        return int(await run.task("add", add))

    async def collect() -> list[Any]:
        return sorted([one.output async for one in later.amap([1, 2, 3])])

    with run("any", budget_usd=1):
        assert whole(1) == 2
        assert asyncio.run(later(1)) == 2
    assert sorted(one.output for one in whole.map([1, 2, 3])) == [2, 3, 4]
    assert sorted(one.output for one in later.map([1, 2, 3])) == [2, 3, 4]
    assert asyncio.run(collect()) == [2, 3, 4]
    [failed] = whole.map(["x"])
    assert (failed.state, failed.outcome) == ("failed", "failed")
    assert isinstance(failed.error, TypeError)
    with papayya().run("by-hand") as mine:
        assert mine.task("t", int) == 0
        mine.complete(1)
    assert script.column("SELECT name FROM papayya.run") == []
