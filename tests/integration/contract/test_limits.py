"""Rate limits in SQL: who waits, who is let in and when, what is learned, and what is fair."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from papayya_core.call import Ending
from papayya_core.refusals import cooling
from papayya_core.testing.clock import Clock
from tests.integration.contract.budgetsql import (
    PRINT,
    admit,
    ask,
    books,
    item_of,
    park,
    put_budget,
    set_limit,
    tenant,
)
from tests.integration.contract.callsql import settle
from tests.integration.contract.sql import Contract

Connect = Callable[[str], Contract]
LONG = 1e9


def _wait(db: Contract, who: str, key: str, guess: int = 100) -> int:
    """Submit an item that comes to a call, and has to wait."""
    item = item_of(db, db.start_run(), who, key)
    opened = db.open(item, lease=LONG)
    if opened.verdict == "go":
        assert opened.fence is not None
        found = ask(db, item, opened.fence, 1, guess=guess, passes=opened.passes or [])
        assert (found.verdict, found.wants) == ("wait", guess)
        park(db, item, opened.fence, found)
    assert db.state(item) == "waiting"
    return item


def _fill(db: Contract, who: str = "filler", tokens: int = 1000) -> None:
    """Use a limit up."""
    item = item_of(db, db.start_run(), who, "fill")
    assert ask(db, item, db.fence(item, lease=LONG), 1, guess=tokens).verdict == "go"


def test_over_the_line(db: Contract, papayya_clock: Clock) -> None:
    """What is over a limit says how long, and holds nothing of a budget."""
    papayya_clock.freeze()
    cap = put_budget(db, 10_000, tenant=tenant(db, "acme"))
    limit = set_limit(db, tenant="acme", tokens=6000)
    item = item_of(db, db.start_run(), "acme", "a")
    fence = db.fence(item, lease=LONG)
    assert ask(db, item, fence, 1, guess=400).verdict == "go"
    assert ask(db, item, fence, 2, guess=200).verdict == "go"
    found = ask(db, item, fence, 3, guess=100)
    assert (found.verdict, found.rate, found.wants, found.delay) == ("wait", limit, 100, 1.0)
    assert found.reason == "throttled: over 6000 tokens a minute of tenant acme"
    assert books(db, cap).held == 2000
    papayya_clock.shift(1)
    assert ask(db, item, fence, 3, guess=100).verdict == "go"
    assert ask(db, item, fence, 4, guess=100, enforce=False).verdict == "go"


def test_corrections(db: Contract, papayya_clock: Clock) -> None:
    """A limit is charged for the prompt before a call, for the answer after it; not for what was void."""
    papayya_clock.freeze()
    set_limit(db, provider="openai", tokens=6000)
    item = item_of(db, db.start_run(), "acme", "a")
    fence = db.fence(item, lease=LONG)
    used = "SELECT round(tokens_used) FROM papayya.rate_now"
    found = ask(db, item, fence, 1, guess=100)
    assert db.one(used) == 100
    settle(db, found.call_id, input=150, output=650)
    assert db.one(used) == 800
    assert db.one("SELECT tokens, vtime FROM papayya.share") == (800, 800)
    papayya_clock.shift(3)
    found = ask(db, item, fence, 2, guess=100)
    settle(db, found.call_id, "void")
    assert (db.one(used), db.one("SELECT tokens FROM papayya.share")) == (500, 800)


def test_a_pass(db: Contract, papayya_clock: Clock) -> None:
    """Who is let in is charged once, has its pass for one call, and keeps it while it does not call."""
    papayya_clock.freeze()
    limit = set_limit(db, provider="openai", tokens=6000)
    _fill(db)
    item = _wait(db, "acme", "a")
    admitted, again = admit(db)
    assert (admitted, again and round(again, 6)) == (0, 5.0)
    papayya_clock.shift(5)
    assert admit(db)[0] == 1
    used = db.one("SELECT round(tokens_used) FROM papayya.rate_now")
    opened = db.open(item)
    assert (opened.verdict, opened.passes) == ("go", [limit])
    assert opened.fence is not None
    db.release(item, opened.fence, "queued", passes=opened.passes)
    opened = db.open(item)
    assert (opened.verdict, opened.passes) == ("go", [limit])
    assert opened.fence is not None
    assert ask(db, item, opened.fence, 1, guess=100, passes=opened.passes).verdict == "go"
    assert db.one("SELECT round(tokens_used) FROM papayya.rate_now") == used
    db.release(item, opened.fence, "queued")
    assert db.open(item).passes is None


def test_siblings_join_the_room(db: Contract, papayya_clock: Clock) -> None:
    """Who would come as far as others that wait joins them before it begins, and is let in after them."""
    papayya_clock.freeze()
    limit = set_limit(db, provider="openai", tokens=6000)
    _fill(db)
    first = _wait(db, "acme", "a")
    second, other = (item_of(db, db.start_run(), who, "b") for who in ("acme", "globex"))
    assert db.open(second).verdict == "wait"
    assert db.fact(second, "state::text, rate_id, wants, deliveries") == ("waiting", limit, 100, 0)
    assert db.open(other, lease=LONG).verdict == "go"
    papayya_clock.shift(4.75)
    assert admit(db, ahead=0.25)[0] == 1
    assert [db.state(item) for item in (first, second)] == ["queued", "waiting"]
    papayya_clock.shift(600)
    assert db.wake() == 1  # no pump let it in: it is opened, and goes in itself
    assert [db.open(item).verdict for item in (second, first)] == ["go", "go"]


def test_whoever_waits_goes_first(db: Contract, papayya_clock: Clock) -> None:
    """Who has had more than somebody that waits does not take the room before it, even a newcomer."""
    papayya_clock.freeze()
    set_limit(db, provider="openai", tokens=6000)
    item = item_of(db, db.start_run(), "big", "a")
    fence = db.fence(item, lease=LONG)
    ask(db, item, fence, 1, guess=700)
    newcomer = _wait(db, "small", "b")
    papayya_clock.shift(60)
    assert ask(db, item, fence, 2, guess=10).verdict == "wait"
    db.rows("UPDATE papayya.tenant SET paused_at = papayya.now() WHERE name = 'small'")
    assert ask(db, item, fence, 2, guess=10).verdict == "go"
    assert admit(db)[0] == 0  # who is paused takes no part
    db.rows("UPDATE papayya.tenant SET paused_at = NULL")
    assert (admit(db)[0], db.state(newcomer)) == (1, "queued")


def test_cooling(db: Contract, papayya_clock: Clock) -> None:
    """After a refusal nobody goes until the time is over that the provider asked for."""
    papayya_clock.freeze()
    item = item_of(db, db.start_run(), "acme", "a")
    fence = db.fence(item, lease=LONG)
    found = ask(db, item, fence, 1, guess=10, key_print=PRINT)
    cools = settle(db, found.call_id, "failed", status=429, cool=20.0, error="slow down")[2]
    refused = ask(db, item, fence, 1, guess=10, key_print=PRINT)
    assert (refused.verdict, refused.rate, refused.delay) == ("wait", cools, 20.0)
    assert refused.reason == "throttled: slow down"
    assert ask(db, item, fence, 2, guess=10, key_print="b" * 16).verdict == "go"
    park(db, item, fence, refused)
    papayya_clock.shift(15)
    assert admit(db, ahead=0)[0] == 0
    papayya_clock.shift(5)
    assert admit(db, ahead=0)[0] == 1


LIMITS: list[tuple[list[list[Any]], tuple[Any, Any] | None]] = [
    ([["requests", 100, 10], ["tokens", 1000, 400]], (54.0, 36.0)),
    ([["requests", 100, 90], ["tokens", 1000, 900]], None),  # far from its end
    ([["tokens", 1000, 0]], (None, 60.0)),
    ([["requests", None, 0], ["tokens", 1000, 0]], (None, 60.0)),
    ([["requests", -1, -1], ["tokens", 1000, 0]], (None, 60.0)),
    ([["requests", 0, 0], ["tokens", -1, 5]], None),
    ([["requests", 10, 12], ["tokens", 10, 0]], (0.0, 60.0)),
    ([], None),
]


@pytest.mark.parametrize(("limits", "expected"), LIMITS, ids=[json.dumps(row[0]) for row in LIMITS])
def test_learned(
    db: Contract, papayya_clock: Clock, limits: list[list[Any]], expected: tuple[Any, Any] | None
) -> None:
    """What a provider says of a limit is kept when its end is near; nonsense never fails a settlement."""
    papayya_clock.freeze()
    item = item_of(db, db.start_run(), "acme", "a")
    fence = db.fence(item, lease=LONG)
    for ordinal, more in ((1, {}), (2, {"cool": 1.0})):
        found = ask(db, item, fence, ordinal, guess=1, key_print=PRINT, enforce=False)
        settle(db, found.call_id, "answered", limits=json.dumps(limits), **more)
        sql = (
            "SELECT CASE WHEN requests > 0 THEN greatest(extract(epoch FROM requests_at - papayya.now()), 0)::float8 END,"
            " CASE WHEN tokens > 0 THEN greatest(extract(epoch FROM tokens_at - papayya.now()), 0)::float8 END FROM papayya.rate"
        )
        if not more:
            assert db.rows(sql) == ([expected] if expected else [])
    assert db.one("SELECT cool_until > papayya.now() FROM papayya.rate") is True


def test_removed(db: Contract, papayya_clock: Clock) -> None:
    """Nobody waits for a limit that is gone, not even who came to it just then."""
    papayya_clock.freeze()
    set_limit(db, provider="openai", tokens=6000)
    _fill(db)
    early = _wait(db, "acme", "a")
    item = item_of(db, db.start_run(), "globex", "b")
    fence = db.fence(item, lease=LONG)
    found = ask(db, item, fence, 1, guess=100)
    assert set_limit(db, provider="openai") == found.rate
    park(db, item, fence, found)
    admit(db)
    papayya_clock.shift(6)
    assert db.wake() == 2
    assert [db.open(one).verdict for one in (early, item)] == ["go", "go"]


def test_raised(db: Contract, papayya_clock: Clock) -> None:
    """What has filled a limit leaks as the limit says that was set since: nobody waits for the old one."""
    papayya_clock.freeze()
    set_limit(db, provider="openai", tokens=1000)
    _fill(db, tokens=50_000)
    item = item_of(db, db.start_run(), "acme", "a")
    fence = db.fence(item, lease=LONG)
    assert ask(db, item, fence, 1, guess=1000).delay == 3000
    set_limit(db, provider="openai", tokens=1_000_000)
    assert ask(db, item, fence, 1, guess=1000).verdict == "go"
    set_limit(db, provider="openai", requests=10)
    set_limit(db, provider="openai", tokens=1000)
    assert ask(db, item, fence, 2, guess=1000).verdict == "go"


def test_calls_that_count_against_no_limit(db: Contract) -> None:
    """A call that asked no limit is charged to none when it settles, either."""
    set_limit(db, provider="openai", tokens=6000)
    item = item_of(db, db.start_run(), "acme", "a")
    found = ask(db, item, db.fence(item), 1, guess=None)
    settle(db, found.call_id, input=5000)
    assert db.rows("SELECT tokens_used FROM papayya.rate_now") == [(0,)]
    assert db.rows("SELECT 1 FROM papayya.share") == []


def test_observed_why(db: Contract) -> None:
    """An observer is told what would have kept its call first: no price, a budget, then a limit."""
    cap = put_budget(db, 100, tenant=tenant(db, "acme"))
    limit = set_limit(db, tenant="acme", requests=1)
    item = item_of(db, db.start_run(), "acme", "a")
    look: dict[str, Any] = {"guess": 10, "enforce": False}
    fence = db.fence(item)
    first = ask(db, item, fence, 1, bound=10, **look)
    assert (first.verdict, first.reason) == ("go", None)
    throttled = ask(db, item, fence, 2, bound=10, **look)
    assert (throttled.verdict, throttled.rate) == ("go", limit)
    assert str(throttled.reason).startswith("throttled:")
    exhausted = ask(db, item, fence, 3, bound=1000, **look)
    assert (exhausted.verdict, exhausted.budget, exhausted.rate) == ("go", cap, None)
    assert str(exhausted.reason).startswith("budget:")
    unpriced = ask(db, item, fence, 4, bound=None, priced=False, **look)
    assert (unpriced.verdict, unpriced.rate) == ("go", None)
    assert unpriced.reason == "unpriced: what gpt-x costs is not known"


@pytest.mark.parametrize("asked", [86_401.0, 1e15, 1e300])
def test_asked_to_wait_for_ever(db: Contract, papayya_clock: Clock, asked: float) -> None:
    """A refusal is settled whatever time a provider asks for, and nobody waits for more than a day."""
    papayya_clock.freeze()
    item = item_of(db, db.start_run(), "acme", "a")
    held = ask(db, item, db.fence(item, lease=LONG), 1, guess=100)
    cool = cooling(Ending("failed", status=429, retry_after=asked))
    settle(db, held.call_id, "failed", status=429, retry_after=asked, cool=cool)
    assert db.one("SELECT cool_until - papayya.now() FROM papayya.rate") == timedelta(days=1)
