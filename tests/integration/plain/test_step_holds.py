"""Steps that report what they cost hold on budgets, as calls that are seen do."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from papayya import agent, run
from tests.integration.plain.script import Script

DIME = 100_000_000
OPEN = "SELECT count(*) FROM papayya.call WHERE state = 'pending'"
SPENT = "SELECT spent FROM papayya.budget_now"
HELD = "SELECT held FROM papayya.budget_now"


def pay(n: int, usd: str = "0.10") -> int:
    run.cost(usd=usd)
    return n


def working(**options: Any) -> Any:
    @agent
    def work(n: int) -> Any:
        return run.task("pay", pay, n, **options)

    return work


def test_hard(script: Script) -> None:
    """However many workers there are, steps with max_cost never spend more than the budget."""
    with run("capped", budget_usd="1.00") as capped:
        results = Counter(
            one.state for one in working(max_cost="0.10").map(range(40), concurrency=16)
        )
    assert results["completed"] == 10
    assert script.one(SPENT) == 10 * DIME
    assert (script.one(HELD), script.one(OPEN)) == (0, 0)
    assert script.rows("SELECT * FROM papayya.audit_budgets_v1()") == []
    script.start()
    with run("capped", run_id=capped.id, budget_usd="4.00"):
        assert {one.state for one in working(max_cost="0.10").map(range(40))} == {"completed"}
    assert script.one(SPENT) == 40 * DIME


def test_less_than_it_might(script: Script) -> None:
    """What a step did not spend of its max_cost is there for others at once."""
    with run("capped", budget_usd="0.50"):
        results = [
            one.state for one in working(max_cost="0.30", usd="0.10").map(range(5), concurrency=4)
        ]
    assert Counter(results)["completed"] == 3  # then less is left than one may cost
    assert script.one(SPENT) == 3 * DIME


def test_learned(script: Script) -> None:
    """A label that has reported costs before holds the most of them, without a word."""
    work = working()
    with run("capped", budget_usd="1.00"):
        list(work.map([0], concurrency=1))
        states = Counter(one.state for one in work.map(range(1, 30), concurrency=16))
    assert states["completed"] == 9
    assert script.one(SPENT) == 10 * DIME


def test_unseen(script: Script) -> None:
    """Where no calls are seen, a step without max_cost goes alone until its cost is known."""
    script.start(llm=False)
    most, now, mutex = [0], [0], threading.Lock()

    def alone(n: int) -> int:
        with mutex:
            now[0] += 1
            most[0] = max(most[0], now[0])
        pay(n, "0.70")
        with mutex:
            now[0] -= 1
        return n

    @agent
    def work(n: int) -> Any:
        return run.task("alone", alone, n)

    with run("capped", budget_usd="1.00"):
        states = Counter(one.state for one in work.map(range(6), concurrency=6))
    assert most == [1]
    assert set(states) == {"completed", "paused"}
    assert script.one(SPENT) <= 10 * DIME + 7 * DIME  # over by one step at most


def test_a_step_that_raises(script: Script) -> None:
    """A step that failed keeps what it reported, and holds nothing."""

    def broken(n: int) -> int:
        pay(n)
        raise ValueError("no")

    @agent
    def work(n: int) -> Any:
        return run.task("broken", broken, n, max_cost="0.50")

    with run("capped", budget_usd="1.00"), pytest.raises(ValueError, match="no"):
        work(1)
    assert (script.one(SPENT), script.one(HELD)) == (DIME, 0)
    assert script.one("SELECT cost_nusd FROM papayya.item") == DIME


def test_without_a_budget(script: Script) -> None:
    """Where no budget applies, max_cost costs no round trip."""
    assert working(max_cost="0.10")(1) == 1
    assert script.rows("SELECT 1 FROM papayya.call") == []


def test_steps_within_steps(script: Script) -> None:
    """A step gives way to the steps inside it, which would wait for what it holds."""

    @agent
    def work(n: int) -> Any:
        inside = lambda: run.task("pay", pay, n, max_cost="0.50")  # noqa: E731
        return run.task("around", inside, max_cost="0.80")

    with run("capped", budget_usd="1.00"):
        assert [one.state for one in work.map([1])] == ["completed"]
    assert (script.one(SPENT), script.one(HELD)) == (DIME, 0)
    assert script.one("SELECT count(*) FROM papayya.dispatch") == 1


def test_items_within_steps(script: Script) -> None:
    """A step gives way to the items that are called in it."""
    inner = working(max_cost="0.50")

    @agent
    def outer(n: int) -> Any:
        return run.task("around", inner, n, max_cost="0.80")

    with run("capped", budget_usd="1.00"):
        assert [one.state for one in outer.map([1])] == ["completed"]
    assert (script.one(SPENT), script.one(HELD)) == (DIME, 0)


def test_parked_for_as_much(script: Script) -> None:
    """A step that no budget has room for parks its item until there is as much."""
    work = working(max_cost="0.80")
    with run("capped", budget_usd="0.50"):
        assert [one.state for one in work.map([1])] == ["paused"]
    assert script.one("SELECT papayya.unpark_v1(10)") == 0
    script.change("SELECT papayya.set_budget_v1(run => name, usd => 0.8) FROM papayya.run")
    assert script.one("SELECT papayya.unpark_v1(10)") == 1


def test_unsettled(script: Script) -> None:
    """A step whose hold cannot be settled was paid all the same: it is not run again."""
    script.change(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$"
        "BEGIN RAISE EXCEPTION 'not this one'; END $$"
    )
    script.change(
        "CREATE TRIGGER no BEFORE UPDATE ON papayya.call FOR EACH ROW"
        " WHEN (NEW.kind = 'step') EXECUTE FUNCTION no()"
    )
    paid: list[int] = []

    @agent
    def work(n: int) -> Any:
        return run.task("pay", lambda: paid.append(pay(n)), max_cost="0.50")

    with run("capped", budget_usd="1.00"):
        assert [one.state for one in work.map([1])] == ["completed"]
    assert paid == [1]
    assert script.checks("1") == ["call_unrecorded"]
    assert script.one("SELECT cost_nusd FROM papayya.item") == DIME
    script.change("DROP TRIGGER no ON papayya.call")
