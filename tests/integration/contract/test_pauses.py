"""Pause and resume, in SQL: of runs, tenants and items; at work, in the queue, lost, and late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from papayya_core.testing.clock import Clock
from tests.integration.contract.budgetsql import ask, park, set_limit
from tests.integration.contract.callsql import hold, settle
from tests.integration.contract.sql import Contract

Connect = Callable[[str], Contract]
WHOLE: list[dict[str, Any]] = [{"run": "r"}, {"tenant": "acme"}]


@pytest.mark.parametrize("whole", WHOLE, ids=["run", "tenant"])
def test_a_whole(db: Contract, whole: dict[str, Any]) -> None:
    """A paused run or tenant: what is at work is asked, what comes later parks; twice is once."""
    run = db.start_run()
    busy, free = db.items(run, "busy", "free")
    fence = db.fence(busy)
    assert db.pause(**whole) == [busy]
    assert db.pause(**whole) == []
    assert (db.state(busy), db.state(free)) == ("running", "queued")
    [late] = db.items(run, "late")
    for item in (free, late):
        opened = db.open(item)
        why = "paused by hand" + (": tenant acme" if "tenant" in whole else "")
        assert (opened.verdict, opened.reason) == ("pause", why)
        assert db.open(item).verdict == "pause"
        assert db.fact(item, "state::text, paused_by::text, deliveries") == ("paused", "hand", 0)
    assert db.open(busy).verdict == "busy"
    assert db.checkpoint(fence)[:2] == ("pause", True)
    assert db.release(busy, fence, "paused", paused_by="hand") == "paused"
    assert db.sends() == []
    assert db.resume(**whole) == [busy, free, late]
    assert db.resume(**whole) == []
    assert [db.state(item) for item in (busy, free, late)] == ["queued"] * 3
    assert sorted(one.item_id for one in db.sends()) == [busy, free, late]
    opened = db.open(busy)
    assert [step[4] for step in opened.known] == ["completed"]
    assert opened.delivery == 1
    assert db.unexplained() == []


def test_others_go_on(db: Contract) -> None:
    """A pause is of one run, or of one tenant in all runs; the others do not notice."""
    one, two = db.start_run("r"), db.start_run("r2")
    [a], [b] = db.items(one, "a"), db.items(two, "b")
    [c] = [row[1] for row in db.capture(two, {"k": "c", "t": "globex"})]
    db.pause(run="r")
    assert [db.open(item).verdict for item in (a, b)] == ["pause", "go"]
    assert db.pause(tenant="acme") == [b]
    [d] = db.items(two, "d")
    assert [db.open(item).verdict for item in (c, d)] == ["go", "pause"]
    assert db.resume(run="r") == [a]
    assert db.open(a).verdict == "pause"  # its tenant still is
    assert db.resume(tenant="acme") == [a, b, d]
    assert db.open(a).verdict == "go"
    assert db.pause() == db.resume() == []


def test_items(db: Contract, papayya_clock: Clock) -> None:
    """Single items park where they are: queued, waiting, at a budget; what has ended stays."""
    run = db.start_run(budget=5)
    queued, waiting, poor, ended = ids = db.items(run, "queued", "waiting", "poor", "ended")
    db.release(waiting, db.fence(waiting), "waiting", delay=30.0)
    db.close(ended, fence := db.fence(ended), "completed", cost_nusd=5)
    assert fence
    assert db.open(poor).verdict == "pause"
    assert db.fact(poor, "paused_by::text") == "budget"
    assert db.pause(items=ids) == [queued, waiting, poor]
    assert db.pause(items=ids) == []
    assert [db.fact(item, "state::text, paused_by::text") for item in ids[:3]] == [
        ("paused", "hand")
    ] * 3
    papayya_clock.shift(60)
    assert db.wake() == 0
    db.start_run(budget=100)
    assert db.open(poor).verdict == "pause"  # a raised budget does not let it go on any more
    assert db.resume(items=ids) == [queued, waiting, poor]
    assert [db.open(item).verdict for item in ids] == ["go", "go", "go", "done"]


def test_a_budget_still_pauses(db: Contract) -> None:
    """What a budget paused may be resumed, and parks again when nothing is left."""
    [item] = db.items(db.start_run(budget=0), "a")
    assert db.open(item).verdict == "pause"
    assert db.resume(items=[item]) == [item]
    assert (db.state(item), db.open(item).verdict, db.state(item)) == ("queued", "pause", "paused")


@pytest.mark.parametrize("batched", [False, True])
def test_checkpoints_tell(db: Contract, batched: bool) -> None:
    """An item at work learns of the pause from its next checkpoint, alone or in a batch."""
    [item] = db.items(db.start_run(), "a")
    fence = db.fence(item)
    sql = "SELECT verdict, stored FROM papayya.checkpoint_one_v1(%s, %s, '', 1, 1, 'task', 'completed', '1', 1, 0, 0, 0, false)"

    def checkpoint(label: str) -> Any:
        return db.checkpoint(fence, label)[:2] if batched else db.one(sql, fence, label)

    assert checkpoint("before") == ("go", True)
    db.pause(items=[item])
    assert checkpoint("after") == ("pause", True)
    db.resume(items=[item])
    assert checkpoint("again") == ("go", True)


def test_resumed_before_it_parked(db: Contract) -> None:
    """A pause that was taken back between the ask and the parking leaves the item queued."""
    [item] = db.items(db.start_run(), "a")
    fence = db.fence(item)
    db.pause(items=[item])
    assert db.checkpoint(fence)[0] == "pause"
    assert db.resume(items=[item]) == [item]
    assert db.state(item) == "running"
    assert db.release(item, fence, "paused", paused_by="hand") == "queued"
    assert db.release(item, fence, "paused", paused_by="hand") == "queued"
    assert db.open(item).verdict == "go"


@pytest.mark.parametrize("how", ["swept", "expired", "taken over", "released", "throttled"])
def test_a_pause_outlives_the_delivery(connect: Connect, papayya_clock: Clock, how: str) -> None:
    """An item that was asked to pause, and did not get to it, parks before it is begun again."""
    late, other = connect("late"), connect("other")
    [item] = late.items(late.start_run(), "a")
    fence = late.fence(item)
    late.pause(items=[item])
    if how == "swept":
        assert [row[4:] for row in other.sweep("late")] == [("paused", "paused by hand")]
    elif how == "expired":
        papayya_clock.shift(61)
    elif how in ("released", "throttled"):
        late.release(item, fence, "queued" if how == "released" else "waiting")
    assert other.open(item, takeover=how == "taken over").verdict == "pause"
    assert other.fact(item, "state::text, paused_by::text") == ("paused", "hand")
    assert late.checkpoint(fence)[0] == "lost"
    assert other.resume(items=[item]) == [item]
    assert other.open(item).verdict == "go"
    assert other.unexplained() == []


def test_lanes(db: Contract) -> None:
    """While one lane of an item is at work, a pause keeps others out without touching the item."""
    [item] = db.items(db.start_run(), "a")
    left = db.fence(item, lane="left")
    db.pause(run="r")
    assert db.open(item, lane="right").verdict == "pause"
    assert db.state(item) == "running"
    assert db.checkpoint(left)[0] == "pause"
    assert db.release(item, left, "paused", paused_by="hand") == "paused"


def test_time_parked(db: Contract, papayya_clock: Clock) -> None:
    """How long an item was paused adds up over its pauses, and carriers are told."""
    db.start_run()
    [item] = [row[1] for row in db.publish("a")]
    papayya_clock.freeze()
    for seconds in (100, 20):
        db.pause(items=[item])
        papayya_clock.shift(seconds)
        db.resume(items=[item])
        papayya_clock.shift(1)
    [sent] = db.sends()
    assert float(sent.parked) == 120
    fence = db.fence(item)
    db.release(item, fence, "paused", paused_by="code")
    papayya_clock.shift(5)
    db.pause(items=[item])
    db.resume(items=[item])
    assert db.fact(item, "extract(epoch FROM parked)::int, parked_at") == (125, None)


def test_held_sends(db: Contract) -> None:
    """Nothing of a paused run or tenant is sent, and what is queued keeps its time for later."""
    [row] = db.publish("a", resend=0.0)
    for whole in WHOLE:
        db.pause(**whole)
        assert db.sends() == []
        db.resume(**whole)
    assert [one.item_id for one in db.sends()] == [row[1]]


def test_retry_is_not_resume(db: Contract) -> None:
    """Retry leaves paused items alone, and what it queues in a paused run parks."""
    run = db.start_run()
    failed, paused = db.items(run, "failed", "paused")
    db.close(
        failed,
        db.fence(failed),
        "failed",
        findings='[{"check": "c", "severity": "failed", "reason": "c", "fingerprint": "00"}]',
    )
    db.release(paused, db.fence(paused), "paused", paused_by="code")
    db.pause(run="r")
    assert db.retry() == [failed]
    assert db.open(failed).verdict == "pause"
    assert db.resume(run="r") == [failed, paused]


def test_cancelled_while_paused(db: Contract) -> None:
    """A paused item that is cancelled stays so when its run is resumed."""
    [item] = db.items(db.start_run(), "a")
    db.pause(items=[item])
    assert db.cancel(None, [item]) == [item]
    assert db.resume(run="r") == []
    assert db.fact(item, "state::text, paused_by") == ("cancelled", None)


def test_a_late_copy(db: Contract) -> None:
    """What a budget parked is not begun again before there is as much as it wants."""
    run = db.start_run(budget=1500)
    item, other = db.items(run, "a", "b")
    held = hold(db, other, db.fence(other), bound=1000)
    fence = db.fence(item)
    db.release(item, fence, "paused", paused_by="budget", budget=1, wants=1400)
    assert db.open(item).verdict == "go"  # what the other one holds may come back
    db.rows(
        "UPDATE papayya.dispatch SET ended_at = now(), ending = 'released' WHERE item_id = %s", item
    )
    settle(db, held.call_id)
    parked = "UPDATE papayya.item SET state = 'paused', paused_by = 'budget', parked_at = now(), parked_on = 1, wants = 1400 WHERE id = %s"
    db.rows(parked, item)
    assert db.open(item).verdict == "pause"
    db.start_run(budget=2000)
    assert db.open(item).verdict == "go"


def test_what_has_begun_goes_on(db: Contract) -> None:
    """Where nothing is left of a budget, an item that has paid for all it needs still ends."""
    [item, fresh] = db.items(db.start_run(budget=10), "a", "b")
    fence = db.fence(item)
    db.checkpoint(fence, cost=10)
    db.release(item, fence, "queued", lost=True)
    assert db.open(item).verdict == "go"
    assert db.open(fresh).verdict == "pause"


@pytest.mark.parametrize("how", ["item", "tenant"])
def test_paused_while_it_waits_for_a_limit(db: Contract, papayya_clock: Clock, how: str) -> None:
    """An item that is paused in the line of a limit waits for nobody from then on."""
    papayya_clock.freeze()
    set_limit(db, tenant="acme", tokens=6000)
    [item] = db.items(db.start_run(), "a")
    fence = db.fence(item, lease=1e9)
    assert ask(db, item, fence, 1, guess=1000).verdict == "go"
    found = ask(db, item, fence, 2, guess=1000)
    park(db, item, fence, found)
    papayya_clock.shift(5)
    if how == "item":
        db.pause(None, items=[item])
    else:
        db.pause(None, tenant="acme")
        assert db.open(item).verdict == "pause"
    papayya_clock.shift(3600)
    db.resume(None, items=[item]) if how == "item" else db.resume(None, tenant="acme")
    assert db.open(item).verdict == "go"
    assert db.fact(item, "extract(epoch FROM throttled)::int, extract(epoch FROM parked)::int") == (
        5,
        3600,
    )
