"""Budgets in SQL: what applies, what is refused and how, windows, changes, and what goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from papayya_core.testing.clock import Clock
from tests.integration.contract.budgetsql import (
    PRINT,
    agreed,
    ask,
    books,
    item_of,
    park,
    put_budget,
    remove_budget,
    report,
    tenant,
    unpark,
)
from tests.integration.contract.callsql import calls, reconcile, set_budget, settle
from tests.integration.contract.sql import Contract

Connect = Callable[[str], Contract]
LONG = 1e7


def _at_work(db: Contract, who: str = "acme", key: str = "a") -> tuple[int, int]:
    item = item_of(db, db.start_run(), who, key)
    return item, db.fence(item, lease=LONG)


def test_all_that_apply(db: Contract) -> None:
    """A call holds on every budget of its tenant, run, agent and key, or on none of them."""
    item, fence = _at_work(db)
    acme, run = tenant(db, "acme"), db.start_run()
    key = db.one("SELECT papayya.key_v1('openai', %s)", PRINT)
    mine = [{"tenant": acme}, {"run": run}, {"agent": db.agent}, {"agent": db.agent, "run": run}]
    mine += [{"key": key}, {"tenant": acme, "key": key}]
    ids = [put_budget(db, 100 - n, **account) for n, account in enumerate(mine)]
    globex, later = tenant(db, "globex"), db.start_run("r2")
    others = [put_budget(db, 0, tenant=globex), put_budget(db, 0, run=later)]
    assert ask(db, item, fence, 1, bound=60, key_print=PRINT).verdict == "go"
    refused = ask(db, item, fence, 2, bound=39, key_print=PRINT)
    assert (refused.verdict, refused.budget, refused.wants) == ("wait", ids[2], 39)
    assert [books(db, one).held for one in ids] == [60] * 6
    assert ask(db, item, fence, 3, bound=37).verdict == "go"
    assert [books(db, one).held for one in ids] == [97] * 4 + [60] * 2
    assert [books(db, one).held for one in others] == [0, 0]
    agreed(db)


def test_wait_or_exhausted(db: Contract) -> None:
    """What others hold may come back: wait. What is spent, or in doubt, does not: exhausted."""
    item, fence = _at_work(db)
    cap = put_budget(db, 100, tenant=tenant(db, "acme"))
    first = ask(db, item, fence, 1, bound=100)
    assert ask(db, item, fence, 2, bound=101).verdict == "exhausted"
    assert ask(db, item, fence, 2, bound=100).verdict == "wait"
    assert ask(db, item, fence, 2, bound=None).verdict == "wait"
    settle(db, first.call_id, "uncertain")
    assert ask(db, item, fence, 2, bound=1).verdict == "exhausted"
    settle(db, first.call_id, cost=40)
    assert ask(db, item, fence, 2, bound=None).verdict == "go"
    assert books(db, cap) == (100, 0, 60, 40)


def test_what_is_released_covers_the_overdraft_first(db: Contract) -> None:
    """What calls did not need after the cap was lowered is not held again, while it is overdrawn."""
    item, fence = _at_work(db)
    acme = tenant(db, "acme")
    put_budget(db, 1000, tenant=acme)
    held = [ask(db, item, fence, ordinal, bound=100).call_id for ordinal in (1, 2, 3)]
    cap = put_budget(db, 150, tenant=acme)
    settle(db, held[0], cost=60)
    assert books(db, cap) == (150, -110, 200, 60)
    assert ask(db, item, fence, 4, bound=10).verdict == "wait"
    settle(db, held[1], cost=10)
    assert ask(db, item, fence, 4, bound=10).verdict == "wait"
    settle(db, held[2], cost=0)
    assert books(db, cap) == (150, 80, 0, 70)
    assert ask(db, item, fence, 4, bound=81).verdict == "exhausted"
    assert ask(db, item, fence, 4, bound=80).verdict == "go"
    agreed(db)


def test_who_was_too_late_for_a_slot_lets_go_of_it(db: Contract, connect: Connect) -> None:
    """A slot that turned out to be empty is free for who gathers, while its owner asks the pool."""
    item, fence = _at_work(db)
    cap = put_budget(db, 1280, tenant=tenant(db, "acme"))
    slot = "SELECT papayya.slot_v1()"
    gatherer = connect("gatherer")
    twin = next(w for w in (connect(f"w{n}") for n in range(200)) if w.one(slot) == db.one(slot))
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = %s"

    def blocked(late: Future[Any]) -> None:
        while not gatherer.one(waits, twin.connection.info.backend_pid):
            assert not late.done()

    assert ask(db, item, fence, 1, bound=1).verdict == "go"  # its slot has 19 left
    gatherer.rows("SET lock_timeout = '20s'")
    with ThreadPoolExecutor(1) as pool:
        db.rows("BEGIN")
        assert ask(db, item, fence, 2, bound=19).verdict == "go"
        late = pool.submit(ask, twin, item, fence, 3, bound=19)
        blocked(late)
        gatherer.rows("BEGIN")
        gatherer.rows("SELECT papayya.pool_v1(%s, '-infinity')::text", cap)
        db.rows("COMMIT")
        blocked(late)
        gatherer.rows("SELECT papayya.gather_v1(%s, '-infinity')", cap)
        gatherer.rows("COMMIT")
        assert late.result(30).verdict == "go"
    agreed(db)


def test_tokens_are_known_without_a_price(db: Contract) -> None:
    """A call whose price is not known holds money until somebody says it, but no tokens."""
    item, fence = _at_work(db)
    acme = tenant(db, "acme")
    tokens = put_budget(db, 1000, tenant=acme, unit="tokens")
    found = ask(db, item, fence, 1, bound=None, priced=False)
    assert books(db, tokens).held == 150
    settle(db, found.call_id, cost=None)
    assert books(db, tokens) == (1000, 980, 0, 20)
    usd = put_budget(db, 500, tenant=acme)
    assert ask(db, item, fence, 2, bound=None, priced=False).verdict == "unpriced"
    assert books(db, tokens).held == 0
    found = ask(db, item, fence, 2, bound=90)
    settle(db, found.call_id, cost=None)
    assert (books(db, tokens).held, books(db, usd).held) == (0, 90)
    assert reconcile(db, found.call_id, 30) == "answered"
    assert books(db, usd) == (500, 470, 0, 30)
    agreed(db)


def test_clamp(db: Contract) -> None:
    """A call may hold for less output: as much as the tightest budget leaves, of money or tokens."""
    item, fence = _at_work(db)
    acme = tenant(db, "acme")
    tokens = put_budget(db, 130, tenant=acme, unit="tokens")
    found = ask(db, item, fence, 1, bound=None, priced=False, clamp=True)
    assert (found.verdict, found.clamped) == ("go", 30)
    assert books(db, tokens) == (130, 0, 130, 0)
    settle(db, found.call_id, "void")
    usd = put_budget(db, 700, tenant=acme)
    found = ask(db, item, fence, 2, bound=1100, floor=100, clamp=True)
    assert (found.verdict, found.clamped, found.bound_nusd) == ("go", 29, 680)
    assert (books(db, usd).left, books(db, tokens).left) == (20, 1)
    assert ask(db, item, fence, 3, bound=1100, floor=100, clamp=True).verdict == "wait"
    settle(db, found.call_id, cost=650)
    short = ask(db, item, fence, 3, bound=1100, floor=100, prompt=10, clamp=True)
    assert (short.verdict, short.wants) == ("exhausted", 440)  # what 17 tokens of output need
    agreed(db)


def test_a_window_is_over(db: Contract, papayya_clock: Clock) -> None:
    """Each day has the amount anew; what was held yesterday is settled there."""
    papayya_clock.freeze(datetime(2025, 3, 29, 22, 59, tzinfo=UTC))
    item, fence = _at_work(db)
    cap = put_budget(db, 100, tenant=tenant(db, "acme"), period="day", timezone="Europe/Berlin")
    late = ask(db, item, fence, 1, bound=100)
    assert ask(db, item, fence, 2, bound=1).verdict == "wait"
    papayya_clock.shift(60)
    found = ask(db, item, fence, 2, bound=70)
    settle(db, late.call_id, cost=150)
    assert books(db, cap) == (100, 30, 70, 0)
    settle(db, found.call_id, cost=60)
    report(db, (fence, "s", 5, 0))
    assert books(db, cap) == (100, 35, 0, 65)
    began, ends = db.one("SELECT since, renews_at FROM papayya.budget_now")
    assert (ends - began).total_seconds() == 23 * 3600  # the clock is put forward that night
    agreed(db)


@pytest.mark.parametrize("state", ["pending", "uncertain", "broken"])
def test_a_new_budget(db: Contract, state: str) -> None:
    """A budget that is new begins with what was spent, and with what may still be."""
    item, fence = _at_work(db)
    done, doubtful = (ask(db, item, fence, ordinal, bound=100).call_id for ordinal in (1, 2))
    settle(db, done, cost=30)
    report(db, (fence, "s", 5, 0))
    if state != "pending":
        settle(db, doubtful, state, cost=40 if state == "broken" else None)
    cap = put_budget(db, 1000, tenant=tenant(db, "acme"))
    spent, held = {"broken": (75, 60)}.get(state, (35, 100))
    assert books(db, cap) == (1000, 1000 - spent - held, held, spent)
    if state == "broken":
        reconcile(db, doubtful, 50)
    else:
        settle(db, doubtful, cost=50)
    assert books(db, cap) == (1000, 915, 0, 85)
    agreed(db)


def test_days_that_begin_at_another_hour(db: Contract, papayya_clock: Clock) -> None:
    """With a time zone there and back, the day's sum is that of its calls, and each is settled once."""
    papayya_clock.freeze(datetime(2025, 6, 1, 23, 0, tzinfo=UTC))
    item, fence = _at_work(db)
    acme = tenant(db, "acme")

    def day(zone: str) -> int:
        return put_budget(db, 1000, tenant=acme, period="day", timezone=zone)

    day("UTC")
    settle(db, ask(db, item, fence, 1, bound=10).call_id, cost=10)
    under_way = ask(db, item, fence, 2, bound=100).call_id
    assert books(db, day("Europe/Berlin")) == (1000, 890, 100, 10)
    papayya_clock.shift(60)
    settle(db, ask(db, item, fence, 3, bound=20).call_id, cost=20)
    assert books(db, day("UTC")) == (1000, 870, 100, 30)
    settle(db, under_way, "broken", cost=40)
    assert books(db, day("UTC")) == books(db, day("Europe/Berlin")) == (1000, 870, 60, 70)
    reconcile(db, under_way, 50)
    assert books(db, day("UTC")) == (1000, 920, 0, 80)
    agreed(db)


def test_removed(db: Contract) -> None:
    """A budget that is taken away lets go of what it parked, also of what parks on it just then."""
    run = db.start_run()
    items = [item_of(db, run, "acme", key) for key in "ab"]
    fences = [db.fence(item) for item in items]
    cap = put_budget(db, 10, run=run)
    for item, fence in zip(items, fences, strict=True):
        found = ask(db, item, fence, 1, bound=11)
        park(db, item, fence, found)
        if item == items[0]:
            assert remove_budget(db, cap) == cap
            assert db.state(item) == "queued"
            cap = put_budget(db, 10, run=run)
        else:
            db.rows("DELETE FROM papayya.budget")
    assert db.state(items[1]) == "paused"
    assert (unpark(db), unpark(db)) == (1, 0)
    assert db.fact(items[1], "state::text, reason") == ("queued", "its budget was taken away")


def test_parked_items_go_on_in_turn(db: Contract) -> None:
    """As many go on as there is room for: the tenants in turn, the oldest first of each."""
    run = db.start_run()
    cap = put_budget(db, 5, run=run)
    whose = {
        item_of(db, run, who, f"{who}{n}"): who for who in ("acme", "globex") for n in range(4)
    }
    for item in whose:
        fence = db.fence(item)
        park(db, item, fence, ask(db, item, fence, 1, bound=10))
    assert unpark(db) == 0
    put_budget(db, 35, run=run)
    assert unpark(db) == 3
    gone = [item for item in whose if db.state(item) == "queued"]
    oldest = sorted(whose)
    assert gone == [oldest[0], oldest[1], oldest[4]]
    for item in gone:
        assert ask(db, item, db.fence(item), 1, bound=10).verdict == "go"
    assert (books(db, cap).left, unpark(db)) == (5, 0)
    put_budget(db, 1000, run=run)
    assert unpark(db, limit=2) == 2
    assert unpark(db) == 3


def test_observers(db: Contract) -> None:
    """Who only observes goes on over the cap, and is told what would have kept it."""
    item, fence = _at_work(db)
    cap = put_budget(db, 10, tenant=tenant(db, "acme"))
    found = ask(db, item, fence, 1, bound=25, enforce=False)
    assert (found.verdict, found.budget) == ("go", cap)
    assert found.reason is not None
    assert "$0.00000001 is left" in found.reason
    assert books(db, cap) == (10, -15, 25, 0)
    settle(db, found.call_id, cost=20)
    assert books(db, cap) == (10, -10, 0, 20)
    assert calls(db, item, "cost_nusd") == [20]
    agreed(db)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"usd": 1}, "a budget is of somebody"),
    ({"tenant": "acme"}, "either usd"),
    ({"tenant": "acme", "usd": 1, "tokens": 1}, "either usd"),
    ({"tenant": "acme", "usd": -1}, "0 to 4 billion"),
    ({"tenant": "acme", "usd": 5_000_000_000}, "0 to 4 billion"),
    ({"run": "nowhere", "usd": 1}, "there is no run nowhere"),
    ({"key": "nobody", "usd": 1}, "no provider key nobody was seen yet"),
    ({"tenant": "acme", "usd": 1, "timezone": "Mars/Olympus"}, "there is no time zone"),
]


@pytest.mark.parametrize(("given", "text"), WRONG, ids=[text for _, text in WRONG])
def test_what_cannot_be_a_budget(db: Contract, given: dict[str, Any], text: str) -> None:
    """What cannot be a budget is said to be none, and leaves none."""
    with pytest.raises(psycopg.Error, match=text):
        set_budget(db, **given)
    assert db.rows("SELECT * FROM papayya.budget") == []
