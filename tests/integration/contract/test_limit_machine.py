"""Limits over time: never more than they take, all of it while somebody waits, and fair shares."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from papayya_core.testing.clock import Clock
from tests.integration.contract.budgetsql import admit, ask, item_of, set_limit
from tests.integration.contract.callsql import settle
from tests.integration.contract.sql import Contract

CLEAR = (
    "TRUNCATE papayya.item, papayya.dispatch, papayya.intake, papayya.run, papayya.call,"
    " papayya.spend, papayya.rate, papayya.share CASCADE"
)
TURNS = st.lists(
    st.tuples(st.floats(0, 8), st.integers(0, 900), st.integers(-300, 300)), min_size=1, max_size=25
)


class Bucket:
    """A bucket that leaks: how much is in it, in seconds of its limit."""

    def __init__(self, burst: float) -> None:
        self.burst, self.full = burst, 0.0

    def takes(self, size: float) -> bool:
        """Tell whether it takes that much; what is larger than all of it goes when it is empty."""
        return self.full <= 1e-4 or self.full + size <= self.burst + 1e-4


@pytest.mark.timeout(120)
def test_a_bucket(db: Contract, papayya_clock: Clock) -> None:
    """Calls of any size go exactly when a bucket of requests and one of tokens take them."""

    @settings(
        max_examples=15, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(turns=TURNS, requests=st.sampled_from([30, 60, 600]), burst=st.sampled_from([1.0, 6.0]))
    def any_turns(turns: list[tuple[float, int, int]], requests: int, burst: float) -> None:
        db.rows(CLEAR)
        start = papayya_clock.freeze()
        set_limit(db, provider="openai", requests=requests, tokens=6000, burst=burst)
        item = item_of(db, db.start_run(), "acme", "a")
        fence = db.fence(item, lease=1e9)
        asked, used = Bucket(burst), Bucket(burst)
        granted: list[tuple[float, float]] = []
        for ordinal, (pause, tokens, more) in enumerate(turns, 1):
            papayya_clock.shift(pause)
            now = (papayya_clock.now() - start).total_seconds()
            for bucket in (asked, used):
                bucket.full = max(bucket.full - pause, 0)
            goes = asked.takes(60 / requests) and used.takes(tokens / 100)
            found = ask(db, item, fence, ordinal, guess=tokens)
            assert found.verdict == ("go" if goes else "wait"), (now, asked.full, used.full)
            if goes:
                asked.full += 60 / requests
                granted.append((now, 60 / requests))
                real = max(tokens + more, 0)
                used.full += real / 100
                settle(db, found.call_id, input=real, output=0)
        for first, (since, _) in enumerate(granted):
            for until, _ in granted[first:]:
                in_it = sum(cost for at, cost in granted if since <= at <= until)
                assert in_it <= until - since + max(burst, 60 / requests) + 1e-3

    any_turns()


def _crowd(db: Contract, sizes: list[int], weights: dict[int, float], each: int) -> dict[int, int]:
    """Let many items of tenants with calls of their own sizes wait for one limit; whose is which."""
    run, rate = db.start_run(), set_limit(db, provider="openai", tokens=60_000, burst=1)
    whose: dict[int, int] = {}
    for number, size in enumerate(sizes):
        name = f"t{number}"
        made = [row[1] for row in db.capture(run, *({"k": f"{n}", "t": name} for n in range(each)))]
        whose |= dict.fromkeys(made, number)
        room = (
            "UPDATE papayya.item SET state = 'waiting', rate_id = %s, wants = %s,"
            " due_at = papayya.now() + interval '1 day', throttled_at = papayya.now() WHERE id = ANY (%s)"
        )
        db.rows(room, rate, size, made)
        db.rows(
            "INSERT INTO papayya.share (rate_id, tenant_id) SELECT %s, id FROM papayya.tenant WHERE name = %s",
            rate,
            name,
        )
        db.rows("SELECT papayya.set_weight_v1(%s, %s::numeric)", name, weights.get(number, 1))
    return whose


def _served(db: Contract, clock: Clock, seconds: int) -> list[int]:
    """Let time pass, and items in; return them in order."""
    order: list[int] = []
    for _ in range(seconds * 2):
        clock.shift(0.5)
        sql = "SELECT id FROM papayya.item WHERE state = 'queued' AND passes IS NOT NULL AND NOT id = ANY (%s)"
        admit(db, ahead=0.25)
        order += [row[0] for row in db.rows(sql, order)]
    return order


def _jain(shares: list[float]) -> float:
    """Return Jain's index of fairness: 1 where all have the same."""
    squares: float = sum(share**2 for share in shares)
    return float(sum(shares) ** 2 / (len(shares) * squares))


def test_shares_are_fair(db: Contract, papayya_clock: Clock) -> None:
    """Tenants that wait get the same tokens by weight, whatever the size of calls; all is used up."""
    papayya_clock.freeze()
    sizes = [50 + 37 * n for n in range(20)]
    weights = {3: 2.0, 7: 0.5}
    whose = _crowd(db, sizes, weights, 400)
    order = _served(db, papayya_clock, 20)
    had = [0.0] * 20
    for item in order:
        had[whose[item]] += sizes[whose[item]]
    assert _jain([tokens / weights.get(number, 1) for number, tokens in enumerate(had)]) >= 0.95
    assert 20 * 1000 * 0.97 <= sum(had) <= 20 * 1000 + 1000 + 250 + max(sizes)
    for number in range(20):
        mine = [item for item in order if whose[item] == number]
        assert mine == sorted(mine)


def test_who_comes_back_is_lifted(db: Contract, papayya_clock: Clock) -> None:
    """A tenant that was away for long shares from now on; what it did not use is nobody's debt."""
    papayya_clock.freeze()
    whose = _crowd(db, [100, 100], {}, 300)
    late = [item for item, number in whose.items() if number == 1]
    away = "UPDATE papayya.item SET state = 'queued', due_at = NULL, rate_id = NULL WHERE id = ANY (%s)"
    rate = db.one("SELECT id FROM papayya.rate")
    db.rows(away, late)
    assert len(_served(db, papayya_clock, 10)) == pytest.approx(100, abs=15)
    room = "UPDATE papayya.item SET state = 'waiting', rate_id = %s, wants = 100, due_at = 'infinity' WHERE id = ANY (%s)"
    db.rows(room, rate, late)
    order = _served(db, papayya_clock, 6)
    newest: Any = [whose[item] for item in order if item in whose][-40:]
    assert 18 <= sum(newest) <= 22
