"""Open, checkpoint, close and release: each guarded transition, in SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from papayya_core.testing.clock import Clock
from tests.integration.contract.callsql import left
from tests.integration.contract.sql import Contract, finding

Connect = Callable[[str], Contract]


def test_the_way(db: Contract) -> None:
    """An item goes from queued over running to completed, with steps, cost, outcome and times."""
    run = db.start_run()
    [item] = db.items(run, "a")
    assert db.state(item) == "queued"
    opened = db.open(item)
    assert (opened.verdict, opened.delivery, opened.known, opened.left_nusd) == (
        "go",
        1,
        None,
        None,
    )
    assert db.state(item) == "running"
    fence = opened.fence
    assert fence is not None
    assert db.checkpoint(fence, "first", cost=5, tokens=2) == ("go", True, None)
    assert db.checkpoint(fence, "second", n=2, cost=7, result=None) == ("go", True, None)
    assert db.close(item, fence, cost_nusd=30, tokens=1) == ("completed", "ok", 42)
    facts = db.one(
        "SELECT state::text, outcome::text, cost_nusd, tokens, steps, deliveries, due_at,"
        " finished_at >= started_at FROM papayya.item"
    )
    assert facts == ("completed", "ok", 42, 3, 2, 1, None, True)
    assert db.rows("SELECT n, state::text, result::text FROM papayya.step ORDER BY n") == [
        (0, "unstored", None),
        (1, "completed", "1"),
        (2, "completed", "null"),
    ]
    assert db.one("SELECT ending::text FROM papayya.dispatch") == "completed"
    assert db.unexplained() == []


def test_open_verdicts(db: Contract, papayya_clock: Clock) -> None:
    """Open answers by state: done, failed, cancelled, wait, pause, busy, drain, drop, unknown, go."""
    run = db.start_run()
    ids = db.items(run, *"abcdefgh")
    done, failed, cancelled, waiting, paused, busy, stale, free = ids
    db.checkpoint(fence := db.fence(done), result="r")
    db.close(done, fence)
    db.close(failed, db.fence(failed), "failed", findings=finding("failed"))
    db.cancel(None, [cancelled])
    db.release(waiting, db.fence(waiting), "waiting", delay=30.0)
    db.release(paused, db.fence(paused), "paused", reason="by hand")
    db.fence(busy)
    db.rows("UPDATE papayya.item SET dispatch_no = 3 WHERE id = %s", stale)

    assert [db.open(item).verdict for item in ids[:6]] == [
        "done",
        "failed",
        "cancelled",
        "wait",
        "pause",
        "busy",
    ]
    assert db.open(done).known == [["s", "", 1, 1, "completed", '"r"', None, 1, None, None]]
    assert db.open(busy).reason == "held by w1"
    wait = db.open(waiting)
    assert (wait.until - wait.clock).total_seconds() == pytest.approx(30, abs=5)
    assert db.open(stale, dispatch_no=2).verdict == "drop"
    assert [db.open(2**40).verdict, db.open(free, digest=b"?").verdict] == ["unknown"] * 2
    assert db.open(stale, dispatch_no=3).verdict == "go"
    db.rows("UPDATE papayya.run SET draining = true")
    assert db.open(free).verdict == "drain"
    db.start_run()  # going on with it ends the draining
    assert db.open(free).verdict == "go"
    papayya_clock.shift(31)
    assert db.open(waiting).verdict == "go"


def test_an_open_that_is_sent_twice(db: Contract) -> None:
    """The token makes a repeated open one open: the same fence, one delivery."""
    [item] = db.items(db.start_run(), "a")
    first = db.open(item, token=7)
    again = db.open(item, token=7)
    assert (again.verdict, again.fence, again.delivery) == ("go", first.fence, 1)
    assert db.open(item, token=8).verdict == "busy"
    assert db.one("SELECT deliveries FROM papayya.item") == 1
    assert db.one("SELECT count(*) FROM papayya.dispatch") == 1


def test_budgets(db: Contract) -> None:
    """A limit pauses at open, counts concurrent shards, and lets go when it is raised."""
    run = db.start_run(budget=100)
    one, two = db.items(run, "a", "b")
    fence = db.fence(one)
    assert db.checkpoint(fence, cost=60, budgeted=True) == ("go", True, 40)
    assert db.checkpoint(fence, "t", n=2, cost=50, budgeted=True) == ("go", True, -10)
    opened = db.open(two)
    assert (opened.verdict, opened.reason) == (
        "pause",
        "budget: nothing is left of $0.0000001 of run r",
    )
    assert db.state(two) == "paused"
    assert db.open(two, enforce=False).verdict == "go"
    assert db.one("SELECT version FROM papayya.budget") == 1
    db.start_run(budget=100)
    assert db.one("SELECT version FROM papayya.budget") == 1
    db.start_run(budget=1000)
    assert db.one("SELECT version, amount FROM papayya.budget") == (2, 1000)
    third = db.capture(run, "c")[0][1]
    assert db.open(third).left_nusd == 890
    db.call("set_budget", run=run, agent=db.agent, limit_nusd=130)
    fourth = db.capture(run, "d")[0][1]
    assert db.open(fourth).left_nusd == 20  # the agent's own knows what was spent before it
    db.start_run(budget=5)  # a lowered limit always succeeds, and shows as overdraft
    assert db.one("SELECT b.left, overdraft FROM papayya.budget_now b WHERE agent_id IS NULL") == (
        -105,
        105,
    )


def test_repeated_checkpoints(db: Contract) -> None:
    """A flush that is sent twice counts its cost once; a completed step is never overwritten."""
    [item] = db.items(db.start_run(budget=1000), "a")
    fence = db.fence(item)
    step: dict[str, Any] = {"cost": 10, "budgeted": True}
    assert db.checkpoint(fence, state="failed", **step) == ("go", True, 990)
    assert db.checkpoint(fence, state="failed", **step) == ("go", False, 990)
    assert db.checkpoint(fence, attempts=2, result="kept", **step) == ("go", True, 980)
    assert db.checkpoint(fence, attempts=2, result="kept", **step) == ("go", False, 980)
    assert db.checkpoint(fence, attempts=3, result="other", **step) == ("go", False, 980)
    assert db.one("SELECT cost_nusd, attempts, result::text FROM papayya.step") == (20, 2, '"kept"')
    assert db.one("SELECT sum(spent) FROM papayya.budget_slot") == 20
    assert db.close(item, fence, cost_nusd=3) == ("completed", "ok", 23)
    assert db.close(item, fence, cost_nusd=3) == ("completed", "ok", 23)
    assert db.one("SELECT sum(spent) FROM papayya.budget_slot") == 23


@pytest.mark.parametrize("how", ["swept", "dead", "taken over", "closed", "released"])
def test_old_fences(connect: Connect, papayya_clock: Clock, how: str) -> None:
    """What a worker writes after its dispatch has ended touches nothing."""
    late, other = connect("late"), connect("other")
    [item] = late.items(late.start_run(budget=1000), "a")
    fence = late.fence(item)
    late.checkpoint(fence, "before", cost=1, budgeted=True)
    if how == "swept":
        papayya_clock.shift(61)
        [(_, key, run, by, state, reason)] = other.sweep()
        told = (key, run, by, state, reason)
        assert told == ("a", "r", "late", "queued", "its worker was lost")
        new = other.fence(item)
    elif how == "dead":
        assert [row[0] for row in other.sweep("late")] == [item]
        new = other.fence(item)
    elif how == "taken over":
        new = other.fence(item, takeover=True)
    elif how == "closed":
        late.close(item, fence, "failed", findings=finding("failed"))
        assert late.retry() == [item]
        new = other.fence(item)
    else:
        late.release(item, fence, "queued")
        new = other.fence(item)
    before = snapshot(other)
    assert late.checkpoint(fence, "late", cost=99, budgeted=True)[:2] == ("lost", False)
    assert late.checkpoint(fence, "before", attempts=9, cost=99)[:2] == ("lost", False)
    expected = {"closed": "failed", "released": "released"}.get(how, "lost")
    assert late.close(item, fence, cost_nusd=99, findings=finding("failed"))[0] == expected
    assert late.release(item, fence, "waiting", delay=9.0) != "waiting"
    assert snapshot(other) == before
    assert other.checkpoint(new, "after")[:2] == ("go", True)
    assert other.close(item, new)[:2] == ("completed", "ok")
    assert other.unexplained() == []


def snapshot(db: Contract) -> list[object]:
    """Read everything a worker could have written."""
    tables = ("item", "dispatch", "step", "finding", "budget_slot")
    return [db.rows(f"SELECT t::text FROM papayya.{table} t ORDER BY 1") for table in tables]


def test_leases(connect: Connect, papayya_clock: Clock) -> None:
    """A lease keeps others out until it ends; heartbeats renew all of a worker's, up to a deadline."""
    one, two = connect("w1"), connect("w2")
    a, b, c = one.items(one.start_run(), "a", "b", "c")
    one.fence(a)
    one.fence(b, max_seconds=90.0)
    papayya_clock.shift(50)
    assert one.beat() == 2
    papayya_clock.shift(50)
    assert one.beat() == 1  # b is past its deadline
    assert two.open(a).verdict == "busy"
    assert two.sweep() == []
    papayya_clock.shift(30)
    [swept] = two.sweep()
    assert swept[0] == b
    assert swept[4:] == ("failed", "the item passed its max_seconds")
    assert two.open(a).verdict == "busy"
    papayya_clock.shift(31)
    opened = two.open(a)
    assert (opened.verdict, opened.delivery) == ("go", 2)
    assert one.one("SELECT count(*) FROM papayya.dispatch WHERE ending = 'lost'") == 2
    one.fence(c, max_seconds=10.0)
    papayya_clock.shift(61)
    assert two.open(c).verdict == "failed"
    assert two.unexplained() == []


def test_poison(connect: Connect) -> None:
    """An item whose deliveries all die fails as poison; pauses and throttles are not held against it."""
    one, two = connect("w1"), connect("w2")
    a, b = one.items(one.start_run(), "a", "b")
    for _ in range(9):
        one.release(a, one.fence(a, max_deliveries=2), "paused", paused_by="budget")
        one.release(a, one.fence(a, max_deliveries=2), "waiting")
        one.release(a, one.fence(a, max_deliveries=2), "queued")
    assert one.one("SELECT deliveries FROM papayya.item WHERE id = %s", a) == 0
    for state in ("queued", "failed"):
        one.fence(a, max_deliveries=2)
        [swept] = two.sweep("w1", max_deliveries=2)
        assert swept[4] == state
    assert one.one("SELECT check_name, severity::text FROM papayya.finding") == ("poison", "failed")
    for _ in range(2):
        one.fence(b, takeover=True, max_deliveries=2)
    assert one.open(b, takeover=True, max_deliveries=2).verdict == "failed"
    assert one.retry(items=[b], run=None) == [b]
    assert one.open(b, max_deliveries=2).verdict == "go"
    assert one.unexplained() == []


def test_release(db: Contract, papayya_clock: Clock) -> None:
    """Released items are queued, waiting until due, or paused; their findings and costs are kept."""
    a, b, c = db.items(db.start_run(), "a", "b", "c")
    now = papayya_clock.freeze()
    for item, state in ((a, "queued"), (b, "waiting"), (c, "paused")):
        fence = db.fence(item)
        verdict = db.release(item, fence, state, delay=30.0, cost_nusd=4, findings=finding("note"))
        assert verdict == state
        assert db.release(item, fence, state, delay=30.0, cost_nusd=4) == state
    assert [db.state(item) for item in (a, b, c)] == ["queued", "waiting", "paused"]
    [due] = db.rows("SELECT due_at - %s FROM papayya.item WHERE due_at IS NOT NULL", now)
    assert due[0].total_seconds() == 30
    assert db.rows("SELECT cost_nusd FROM papayya.item_now") == [(4,)] * 3
    assert db.one("SELECT count(*) FROM papayya.finding") == 3
    assert db.wake() == 0
    papayya_clock.shift(30)
    assert db.wake() == 1
    assert db.state(b) == "queued"


def test_lanes(db: Contract) -> None:
    """Lanes are dispatches of one item side by side; it runs while one of them does."""
    [item] = db.items(db.start_run(), "a")
    left, right = db.fence(item, lane="left"), db.fence(item, lane="right", owner="w2")
    assert db.open(item, lane="left").verdict == "busy"
    assert db.checkpoint(left, "l")[0] == db.checkpoint(right, "r", n=2)[0] == "go"
    assert [row[4] for row in db.sweep("w2")] == ["running"]
    assert db.checkpoint(right, "late", n=3)[0] == "lost"
    assert db.close(item, left)[0] == "completed"


CONSTRAINTS = [
    "UPDATE papayya.item SET state = 'completed', finished_at = now()",
    "UPDATE papayya.item SET outcome = 'ok'",
    "UPDATE papayya.item SET state = 'failed', outcome = 'ok', finished_at = now()",
    "UPDATE papayya.item SET state = 'cancelled'",
    "UPDATE papayya.item SET state = 'waiting'",
    "UPDATE papayya.item SET due_at = now()",
    "UPDATE papayya.item SET cost_nusd = -1",
    "UPDATE papayya.item SET deliveries = -1",
    "UPDATE papayya.item SET key = ''",
    "UPDATE papayya.item SET key = repeat('x', 501)",
    "UPDATE papayya.dispatch SET ending = 'lost'",
    "UPDATE papayya.dispatch SET ended_at = now()",
    "UPDATE papayya.intake SET count = 7",
    "UPDATE papayya.budget SET amount = -1",
    "UPDATE papayya.tenant SET weight = 0",
    (
        "INSERT INTO papayya.dispatch (item_id, token, locked_by, locked_until)"
        " SELECT item_id, 0, 'w2', now() FROM papayya.dispatch"
    ),
    (
        "INSERT INTO papayya.item (run_id, tenant_id, agent_id, key)"
        " SELECT run_id, tenant_id, agent_id, key FROM papayya.item"
    ),
    "DELETE FROM papayya.run",
]


def test_constraints(db: Contract) -> None:
    """What no single row may say, Postgres refuses, whoever writes it."""
    [item] = db.items(db.start_run(budget=5), "a")
    db.fence(item)
    for statement in CONSTRAINTS:
        with pytest.raises(psycopg.IntegrityError):
            db.rows(statement)


def test_given_up(db: Contract) -> None:
    """A sweep ends the dispatches that it is given as lost, whatever their lease."""
    mine, other = db.items(db.start_run(), "a", "b")
    fence = db.fence(mine)
    db.fence(other)
    assert [row[0] for row in db.sweep(fences=[fence])] == [mine]
    assert (db.state(mine), db.state(other)) == ("queued", "running")
    db.rows("UPDATE papayya.dispatch SET started_at = started_at - interval '2 s'")
    [(left,)] = db.many("own_fences", owner="w1")
    assert db.one("SELECT item_id FROM papayya.dispatch WHERE id = %s", left) == other


def test_a_crash_is_no_timeout(connect: Connect, papayya_clock: Clock) -> None:
    """Only a lease that ran past the deadline is a time-out; a worker that died is a lost one."""
    one, two = connect("w1"), connect("w2")
    a, b, c = one.items(one.start_run(), "a", "b", "c")
    papayya_clock.freeze()
    one.fence(a, max_seconds=5.0)
    one.fence(b, max_seconds=90.0)
    given_up = two.fence(c, max_seconds=5.0)
    papayya_clock.shift(100)
    assert [row[4] for row in two.sweep("w1", fences=[given_up])] == ["queued"] * 3
    one.fence(b, max_seconds=90.0)
    papayya_clock.shift(100)
    assert two.open(b).verdict == "go"


def test_an_open_sent_again(db: Contract) -> None:
    """An open that is sent again gets its fence, whatever happened to the run in between."""
    run = db.start_run()
    [item] = db.items(run, "a")
    fence = db.fence(item, token=7)
    db.rows("UPDATE papayya.run SET draining = true")
    assert db.open(item, token=7).fence == fence
    db.cancel()
    assert db.open(item, token=7).fence == fence
    assert db.close(item, fence)[0] == "cancelled"


def test_captured_during_a_cancel(db: Contract) -> None:
    """An item that a cancelled run got meanwhile is cancelled when it is opened."""
    [item] = db.items(db.start_run(), "a")
    db.rows("UPDATE papayya.run SET cancelled_at = now()")
    assert db.open(item).verdict == "cancelled"
    assert db.state(item) == "cancelled"


def test_a_late_budget(db: Contract) -> None:
    """A budget counts what was spent before it, and what workers spend that do not know it."""
    run = db.start_run()
    [item] = db.items(run, "a")
    fence = db.fence(item)
    db.checkpoint(fence, "a", cost=10)
    db.call("set_budget", run=run, agent=None, limit_nusd=100)
    db.checkpoint(fence, "b", cost=20)
    assert left(db, run) == (70, 0, 30)


def test_lanes_end_once(db: Contract) -> None:
    """An item that failed through one lane stays failed when another completes."""
    [item] = db.items(db.start_run(), "a")
    left, right = db.fence(item, lane="left"), db.fence(item, lane="right")
    assert db.close(item, left, "failed", reason="no", findings=finding("failed"))[0] == "failed"
    assert db.close(item, right, cost_nusd=5) == ("failed", "failed", 5)
    assert db.unexplained() == []
