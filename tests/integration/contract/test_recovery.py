"""What brings items back and what ends them by hand: wake, sends, lead, retry, cancel, drain."""

from __future__ import annotations

from collections.abc import Callable

from papayya_core.testing.clock import Clock
from tests.integration.contract.sql import Contract, finding

Connect = Callable[[str], Contract]


def test_sends(db: Contract, papayya_clock: Clock) -> None:
    """What is to be sent is claimed once, counted, and backs off; every copy can open it."""
    run = db.start_run()
    a, b = db.items(run, "a", "b")
    assert db.sends() == []  # their submitter runs them
    db.fence(a)
    db.sweep("w1")
    [sent] = db.sends()
    assert (sent.item_id, sent.item_key, sent.carrier) == (a, "a", "test")
    assert (sent.dispatch_no, sent.sends) == (0, 1)
    assert db.sends() == []
    papayya_clock.shift(61)
    assert [(row.dispatch_no, row.sends) for row in db.sends()] == [(0, 2)]
    papayya_clock.shift(61)
    assert db.sends() == []  # 120 s this time
    papayya_clock.shift(61)
    assert [row.sends for row in db.sends()] == [3]
    fence = db.fence(a, dispatch_no=0)
    assert db.open(a, dispatch_no=0).verdict == "busy"
    assert db.one("SELECT sends FROM papayya.item WHERE id = %s", a) == 0
    papayya_clock.shift(10_000)
    db.beat()
    assert db.sends() == []
    db.close(a, fence)
    db.release(b, db.fence(b), "waiting", delay=5.0)
    papayya_clock.shift(6)
    assert db.wake() == 1
    db.rows("UPDATE papayya.run SET draining = true")
    assert db.sends() == []
    db.start_run()
    assert [row.item_id for row in db.sends()] == [b]


def test_lead(connect: Connect, papayya_clock: Clock) -> None:
    """One leads until its lease ends."""
    one, two = connect("w1"), connect("w2")

    def lead(worker: Contract) -> bool:
        row = worker.call("lead", role="pump", owner=worker.owner, lease=20.0)
        return bool(row[0])

    assert (lead(one), lead(two), lead(one)) == (True, False, True)
    papayya_clock.shift(21)
    assert (lead(two), lead(one)) == (True, False)


def test_retry(db: Contract) -> None:
    """Failed items are queued again: findings become history, finished steps and costs stay."""
    run = db.start_run()
    a, b, c = db.items(run, "a", "b", "c")
    fence = db.fence(a)
    db.checkpoint(fence, "paid", cost=5)
    db.checkpoint(fence, "broken", n=2, state="failed", attempts=5, cost=1)
    assert db.close(a, fence, "failed", findings=finding("failed")) == ("failed", "failed", 6)
    db.close(b, db.fence(b))
    assert db.retry() == [a]
    assert db.retry() == []
    facts = db.one(
        "SELECT state::text, outcome, finished_at, deliveries FROM papayya.item WHERE id = %s", a
    )
    assert facts == ("queued", None, None, 0)
    assert db.one("SELECT retired_at IS NOT NULL FROM papayya.finding") is True
    opened = db.open(a)
    assert [(k[0], k[4], k[7]) for k in opened.known] == [
        ("paid", "completed", 1),
        ("broken", "failed", 0),
    ]
    assert opened.fence is not None
    db.checkpoint(opened.fence, "broken", n=2, cost=2)
    assert db.close(a, opened.fence) == ("completed", "ok", 8)
    db.close(c, db.fence(c), "failed", findings=finding("failed"))
    db.cancel()
    assert db.retry() == []
    assert db.retry(None, None) == []
    assert db.unexplained() == []


def test_cancel(db: Contract) -> None:
    """Cancelling ends what is open; work in flight is recorded, told, and keeps the reason."""
    run = db.start_run()
    a, b, c = db.items(run, "a", "b", "c")
    fence = db.fence(a)
    db.checkpoint(fence, "before", cost=2)
    db.close(b, db.fence(b))
    assert sorted(db.cancel()) == [a, c]
    assert db.checkpoint(fence, "after", n=2, cost=3)[:2] == ("cancelled", True)
    assert db.close(a, fence, "failed", reason="other", findings=finding("failed")) == (
        "cancelled",
        None,
        5,
    )
    assert db.one("SELECT reason, outcome FROM papayya.item WHERE id = %s", a) == ("enough", None)
    assert db.open(c).verdict == "cancelled"
    assert db.cancel() == []
    assert db.state(b) == "completed"
    assert db.unexplained() == []


def test_a_cancelled_item_that_is_released(db: Contract) -> None:
    """An item that was cancelled meanwhile stays cancelled, whatever its worker says."""
    run = db.start_run()
    for state in ("queued", "waiting", "paused"):
        [item] = db.items(run, state)
        fence = db.fence(item)
        db.cancel(None, [item])
        assert db.release(item, fence, state, delay=5.0, cost_nusd=3) == "cancelled"
        assert db.state(item) == "cancelled"
        assert db.one("SELECT cost_nusd FROM papayya.item WHERE id = %s", item) == 3
    assert db.unexplained() == []


def test_outcomes(db: Contract) -> None:
    """The outcome is the worst finding that still stands; notes do not count."""
    run = db.start_run()
    cases = {"note": "ok", "degraded": "degraded", "failed": "failed"}
    for severity, outcome in cases.items():
        [item] = db.items(run, severity)
        closed = db.close(item, db.fence(item), findings=finding(severity))
        assert closed[:2] == ("completed", outcome)
    summary = (
        "SELECT completed, done, flagged, ok, degraded, outcome_failed FROM papayya.run_summary"
    )
    assert db.one(summary) == (3, 1, 2, 1, 1, 1)


def test_runs(db: Contract) -> None:
    """A run is open, sealed, completed when all has ended, open again when something new comes."""
    run = db.start_run()

    def state() -> str:
        return str(db.one("SELECT state FROM papayya.run_summary"))

    [item] = db.items(run, "a")
    assert state() == "open"
    db.connection.execute("UPDATE papayya.run SET sealed_at = papayya.now()")
    assert state() == "sealed"
    db.close(item, db.fence(item))
    assert state() == "completed"
    db.start_run()
    db.items(run, "a")
    assert state() == "completed"
    db.items(run, "b")
    assert state() == "open"
    db.rows("UPDATE papayya.run SET draining = true")
    assert state() == "draining"
