"""Outliers of a run: how far an item is from what the others have in common, and who is told."""

from __future__ import annotations

from statistics import fmean, median
from typing import Any, NamedTuple

import psycopg
import pytest

from papayya_core.testing.clock import Clock
from tests.integration.contract.callsql import hold, settle
from tests.integration.contract.sql import Contract, finding


class Ranked(NamedTuple):
    """An item as outliers_v1 ranks it."""

    key: str
    state: str
    value: float
    score: float | None
    items: int
    median: float | None


def ranked(db: Contract, by: str = "cost", limit: int = 100) -> list[Ranked]:
    """Rank the items of the run r."""
    sql = "SELECT key, state, value, score, items, median FROM papayya.outliers_v1('r', %s, %s)"
    return [Ranked(*row) for row in db.rows(sql, by, limit)]


def work(db: Contract, run: int, key: str, cost: int, tokens: int = 10) -> int:
    """Do an item whose only step reports its cost; return its fence."""
    [item] = db.items(run, key)
    fence = db.fence(item)
    db.checkpoint(fence, cost=cost, tokens=tokens)
    return fence


def close(db: Contract, fence: int) -> None:
    """End an item by itself."""
    item = db.one("SELECT item_id FROM papayya.dispatch WHERE id = %s", fence)
    db.close(item, fence)


def done(db: Contract, run: int, *costs: int) -> None:
    """Do items of these costs to their end."""
    for n, cost in enumerate(costs):
        close(db, work(db, run, f"k{n}", cost))


def look(db: Contract, score: float = 3.5) -> list[Any]:
    """Look for what newly stands out: key and measure of each."""
    found = db.many("find_outliers", score=score, seconds=60.0, limit=10)
    return sorted((row[3], row[9]["by"]) for row in found)


def test_formula(db: Contract) -> None:
    """The score is 0.6745 times the distance from the median, in units of the MAD."""
    costs = [100 + n % 7 for n in range(30)] + [900]
    done(db, db.start_run(), *costs)
    middle = median(costs)
    mad = median(abs(cost - middle) for cost in costs)
    top = ranked(db)[0]
    assert (top.key, top.value, top.items, top.median) == ("k30", 900, 31, middle)
    assert top.score == pytest.approx(0.6745 * (900 - middle) / mad)


def test_items_that_are_alike(db: Contract) -> None:
    """Where more than half of the items are alike, the mean deviation is the measure."""
    costs = [100] * 30 + [130, 900]
    done(db, db.start_run(), *costs)
    spread = 1.253314 * fmean(cost - 100 for cost in costs)
    found = ranked(db)
    assert [one.score for one in found[:2]] == pytest.approx([800 / spread, 30 / spread])
    assert {one.score for one in found[2:]} == {0}


def test_no_spread(db: Contract) -> None:
    """Items that are all alike have no outlier, and a run without items no norm."""
    assert ranked(db) == []
    done(db, db.start_run(), *[100] * 25)
    assert {one.score for one in ranked(db)} == {0}


def test_one_under_way(db: Contract) -> None:
    """An item under way is held against those that ended, with what it has cost so far."""
    run = db.start_run()
    done(db, run, *[100] * 25)
    fence = work(db, run, "runaway", 4000)
    top = ranked(db)[0]
    assert (top.key, top.state, top.value, top.items) == ("runaway", "running", 4000, 25)
    assert top.score == pytest.approx(26 / 1.253314)
    item = db.one("SELECT item_id FROM papayya.dispatch WHERE id = %s", fence)
    held = hold(db, item, fence)
    settle(db, held.call_id, cost=1000)
    assert ranked(db)[0].value == 5000


def test_before_enough_have_ended(db: Contract) -> None:
    """Until twenty have ended, all that have begun are the norm."""
    run = db.start_run()
    done(db, run, *range(100, 119))
    for n in range(5):
        work(db, run, f"open{n}", 200)
    assert {one.items for one in ranked(db)} == {24}
    close(db, work(db, run, "twentieth", 119))
    assert {one.items for one in ranked(db)} == {20}


def test_what_was_stopped_is_no_norm(db: Contract) -> None:
    """A cancelled item is still ranked, and does not count for what is normal."""
    run = db.start_run()
    done(db, run, *range(100, 125))
    work(db, run, "stopped", 5000)
    db.cancel()
    top = ranked(db)[0]
    assert (top.key, top.state, top.items) == ("stopped", "cancelled", 25)


@pytest.mark.parametrize(("by", "value"), [("tokens", 10_000.0), ("calls", 3.0)])
def test_other_measures(db: Contract, by: str, value: float) -> None:
    """Items are ranked by tokens and by calls; without any, an item has no place."""
    run = db.start_run()
    db.items(run, "queued")
    fence = work(db, run, "k", 1, tokens=9940)
    item = db.one("SELECT item_id FROM papayya.dispatch WHERE id = %s", fence)
    for n in range(3):
        settle(db, hold(db, item, fence, ordinal=n + 1).call_id)
    close(db, fence)
    assert [(one.key, one.value) for one in ranked(db, by)] == [("k", value)]


def test_seconds(db: Contract, papayya_clock: Clock) -> None:
    """The duration is the time in workers' hands, without pauses before and in between."""
    papayya_clock.freeze()
    [item] = db.items(db.start_run(), "k")
    papayya_clock.shift(100)
    first = db.fence(item)
    papayya_clock.shift(10)
    db.release(item, first, state="paused")
    papayya_clock.shift(1000)
    db.resume("r")
    papayya_clock.shift(1000)
    second = db.fence(item)
    papayya_clock.shift(5)
    assert [one.value for one in ranked(db, "seconds")] == [15]
    db.close(item, second)
    papayya_clock.shift(50)
    assert [one.value for one in ranked(db, "seconds")] == [15]


def test_unknown_measure(db: Contract) -> None:
    """A measure that does not exist is named in the error."""
    done(db, db.start_run(), 1)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="not by beauty"):
        ranked(db, "beauty")


def test_told_once(db: Contract) -> None:
    """An item that stands out is noted once for each measure, and its outcome stays ok."""
    run = db.start_run()
    done(db, run, *range(100, 130))
    fence = work(db, run, "runaway", 5000, tokens=10)
    assert look(db) == [("runaway", "cost")]
    assert look(db) == []
    db.checkpoint(fence, "more", n=2, tokens=50_000)
    assert look(db) == [("runaway", "tokens")]
    close(db, fence)
    assert look(db) == []
    assert db.one("SELECT outcome FROM papayya.item WHERE key = 'runaway'") == "ok"


def test_evidence(db: Contract) -> None:
    """The note says the value, the median and the score, in dollars, and how many it is held against."""
    run = db.start_run()
    done(db, run, *[n * 1_000_000 for n in range(10, 31)])
    work(db, run, "runaway", 900_000_000)
    [row] = db.many("find_outliers", score=3.5, seconds=60.0, limit=10)
    assert row[8] == "cost: $0.9, where the median of 21 items is $0.02 (score 118.7)"
    assert row[9] == {
        "by": "cost",
        "value": 0.9,
        "median": 0.02,
        "score": 118.71,
        "items": 21,
        "unit": "usd",
    }
    sql = (
        "SELECT severity::text, reason, evidence FROM papayya.finding WHERE check_name = 'outlier'"
    )
    assert db.one(sql) == ("note", row[8], row[9])


def test_score_is_the_line(db: Contract) -> None:
    """What does not reach the score is not told of."""
    run = db.start_run()
    done(db, run, *range(100, 130))
    work(db, run, "high", 200)
    score = ranked(db)[0].score
    assert score is not None
    assert look(db, score + 0.1) == []
    assert look(db, score - 0.1) == [("high", "cost")]


def test_too_few_to_tell(db: Contract) -> None:
    """Of a run with fewer than twenty items nothing stands out."""
    run = db.start_run()
    done(db, run, *range(100, 118))
    work(db, run, "runaway", 5000)
    assert look(db) == []


def test_norm_of_what_is_under_way(db: Contract) -> None:
    """While nothing has ended, the norm grows with the items: growing alike, none stands out."""
    run = db.start_run()
    fences = [work(db, run, f"k{n}", 100 + n) for n in range(25)]
    assert look(db) == []
    for fence in fences:
        db.checkpoint(fence, "more", n=2, cost=100_000)
    assert look(db) == []


def test_after_a_retry(db: Contract) -> None:
    """What is retried is told of again: its findings became history."""
    run = db.start_run()
    done(db, run, *range(100, 130))
    fence = work(db, run, "runaway", 5000)
    [item] = db.items(run, "runaway")
    assert look(db) == [("runaway", "cost")]
    db.close(item, fence, state="failed", findings=finding("failed"))
    assert db.retry() == [item]
    db.fence(item)
    assert look(db) == [("runaway", "cost")]


def test_only_runs_under_way(db: Contract, papayya_clock: Clock) -> None:
    """A run in which nothing goes on is not looked at."""
    run = db.start_run()
    done(db, run, *range(100, 130), 9000)
    papayya_clock.shift(3600)
    assert look(db) == []
    assert db.rows("SELECT * FROM papayya.run_norm") == []


def test_duration(db: Contract, papayya_clock: Clock) -> None:
    """What takes much longer than the others is told of while it runs, and only from ten seconds on."""
    run = db.start_run()
    papayya_clock.freeze()
    for n in range(25):
        fence = work(db, run, f"k{n}", 100)
        papayya_clock.shift(0.1)
        close(db, fence)
    work(db, run, "stuck", 100)
    papayya_clock.shift(9)
    assert look(db) == []
    papayya_clock.shift(1)
    assert look(db) == [("stuck", "seconds")]


def test_nothing_spent(db: Contract) -> None:
    """Where nothing was spent no item is looked at for what it has spent, however many there are."""
    run = db.start_run()
    for item in db.items(run, "a", "b"):
        db.close(item, db.fence(item))
    look(db)
    measured = "SELECT array_agg(measure ORDER BY measure) FROM papayya.run_norm"
    assert db.one(measured) == ["seconds"]
    close(db, work(db, run, "c", 5, tokens=0))
    look(db)
    assert db.one(measured) == ["cost", "seconds"]
