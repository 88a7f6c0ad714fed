"""What carriers with messages need, in SQL: publish, hand over, told, give up, hand back, cohorts."""

from __future__ import annotations

from typing import Any

import pytest

from papayya_core.store.sql import statements
from papayya_core.testing.clock import Clock
from tests.integration.contract.sql import Contract, finding

ROWS = "SELECT count(*) FROM papayya.item"


def ended(db: Contract, key: str, *, tell: float | None = 60.0) -> int:
    """Publish an item, and complete it; its carrier is told in ``tell`` seconds."""
    item = int(db.publish(key)[0][1])
    db.close(item, db.fence(item), tell=tell)
    return item


@pytest.mark.parametrize("single", [True, False], ids=["one", "many"])
def test_publish(db: Contract, single: bool) -> None:
    """A publish makes run, agent, tenant, item, envelope and intake; sent twice it is one."""
    for fresh in (True, False):
        if single:
            item, ordinal, state, new = db.publish_one("a")
        else:
            [(_, item, _, ordinal, state, new)] = db.publish("a")
        assert (ordinal, state, new) == (1, "queued", fresh)
    assert db.one(ROWS) == 1
    sealed = "SELECT label, carrier, sealed_at IS NOT NULL FROM papayya.run"
    assert db.one(sealed) == ("l", "test", True)
    assert db.fact(item, "carrier, dispatch_no, sends, send_at > papayya.now()") == (
        "test",
        0,
        1,
        True,
    )
    envelope = (
        "SELECT p.body FROM papayya.payload p JOIN papayya.item i ON i.envelope_hash = p.hash"
    )
    assert bytes(db.one(envelope)) == b"<a>"
    assert db.unexplained() == []


@pytest.mark.parametrize("single", [True, False], ids=["one", "many"])
def test_another_message_of_one_key(db: Contract, single: bool) -> None:
    """A key that was published by another message is another item, and each is found again."""

    def publish(digest: str) -> Any:
        if single:
            return db.publish_one("a", digest=bytes.fromhex(digest))[1:]
        return db.publish({"k": "a", "g": digest})[0][3:]

    assert publish("01") == (1, "queued", True)
    assert publish("02") == (2, "queued", True)
    assert publish("01") == (1, "queued", False)
    assert publish("02") == (2, "queued", False)
    assert db.unexplained() == []


@pytest.mark.parametrize("single", [True, False], ids=["one", "many"])
def test_seals(db: Contract, single: bool) -> None:
    """A run that was sealed elsewhere is opened by new items, not by children, nor where all is input."""

    def publish(key: str, *, seal: bool, parent: int | None = None) -> None:
        if single:
            db.publish_one(key, seal=seal, parent=parent)
        else:
            db.publish({"k": key, "p": parent}, seal=seal)

    def is_sealed() -> bool:
        return bool(db.one("SELECT sealed_at IS NOT NULL FROM papayya.run"))

    publish("a", seal=True)
    publish("b", seal=True)
    parent = db.one("SELECT id FROM papayya.item WHERE key = 'a'")
    publish("child", seal=False, parent=parent)
    publish("a", seal=False)  # known
    assert is_sealed()
    publish("c", seal=False)
    assert not is_sealed()


@pytest.mark.parametrize("single", [True, False], ids=["one", "many"])
def test_publish_into_a_cancelled_run(db: Contract, single: bool) -> None:
    """What is published into a cancelled run is cancelled at once."""
    db.start_run()
    db.cancel()
    item = db.publish_one("a")[0] if single else db.publish("a")[0][1]
    assert db.state(item) == "cancelled"
    assert db.unexplained() == []


def test_run_of_a_script(db: Contract) -> None:
    """A run that a script opened is shown under the carrier of what was published into it."""
    shown = "SELECT carrier FROM papayya.run_summary"
    db.start_run(carrier="plain")
    assert db.one(shown) == "plain"
    db.publish_one("a")
    assert db.one(shown) == "test"


def test_lost_messages(db: Contract, papayya_clock: Clock) -> None:
    """What nobody has opened is sent again with its envelope; every copy of it can open the item."""
    [row] = db.publish("a")
    assert db.sends() == []
    papayya_clock.shift(61)
    [sent] = db.sends()
    assert (sent.item_id, sent.sends, sent.ended) == (row[1], 2, False)
    assert (bytes(sent.envelope or b""), sent.item_digest) == (b"<a>", b"\0")
    assert db.open(row[1], dispatch_no=0, digest=b"\0").verdict == "go"
    assert db.open(row[1], dispatch_no=0, digest=b"\0").verdict == "busy"
    assert db.sends() == []


@pytest.mark.parametrize(("delay", "state"), [(0.0, "queued"), (30.0, "waiting")])
def test_hand_over(db: Contract, papayya_clock: Clock, delay: float, state: str) -> None:
    """A worker's own next message ends its dispatch, and makes stale what was sent before."""
    [row] = db.publish("a")
    item = int(row[1])
    papayya_clock.freeze()
    for number in (1, 2):
        fence = db.fence(item, dispatch_no=number - 1)
        body = f"<again {number}>".encode()
        assert db.hand_over(item, fence, body, delay=delay) == (state, number)
        assert db.fact(item, "state::text, deliveries, sends") == (state, 0, 1)
        left = "extract(epoch FROM send_at - papayya.now())::int"
        assert db.fact(item, left) == 60 + delay
        assert db.open(item, dispatch_no=number - 1).verdict == "drop"
        assert db.checkpoint(fence)[0] == "lost"
    assert db.wake() == 0
    # the broker's clock decides when a message with a countdown comes
    opened = db.open(item, dispatch_no=2, digest=b"\0")
    assert (opened.verdict, opened.delivery) == ("go", 1)
    assert opened.fence is not None
    assert db.hand_over(item, opened.fence, b"<again 3>", delay=delay) == (state, 3)
    papayya_clock.shift(delay + 61)
    db.wake()
    [sent] = db.sends()
    assert (sent.dispatch_no, bytes(sent.envelope or b"")) == (3, b"<again 3>")
    assert db.unexplained() == []


def test_hand_over_keeps_the_due_time(db: Contract, papayya_clock: Clock) -> None:
    """A message that its carrier holds back: without it the item waits, and waking keeps its time."""
    item = int(db.publish("a")[0][1])
    papayya_clock.freeze()
    db.hand_over(item, db.fence(item), delay=30.0)
    db.pause(items=[item])
    db.resume(items=[item])
    assert db.state(item) == "queued"
    fence = db.fence(item)
    db.hand_over(item, fence, delay=30.0)
    assert db.open(item).verdict == "wait"
    papayya_clock.shift(31)
    assert db.wake() == 1
    assert db.sends() == []
    assert db.fact(item, "state::text, extract(epoch FROM send_at - papayya.now())::int") == (
        "queued",
        59,
    )


def test_hand_over_of_an_old_fence(db: Contract) -> None:
    """A worker that lost the item hands nothing over: its envelope and number stand."""
    item = int(db.publish("a")[0][1])
    late = db.fence(item)
    new = db.fence(item, takeover=True)
    assert db.hand_over(item, late) == ("lost", 0)
    assert db.fact(item, "state::text, dispatch_no") == ("running", 0)
    db.cancel(None, [item])
    assert db.hand_over(item, new) == ("cancelled", 0)
    assert db.state(item) == "cancelled"


def test_told(db: Contract, papayya_clock: Clock) -> None:
    """Until its carrier is told, an ended item is held by who ended it; then what the pump sends tells."""
    item = ended(db, "a")
    first = db.open(item)
    assert (first.verdict, first.reason, first.told) == ("busy", "held by w1", False)
    assert (first.until - first.clock).total_seconds() == pytest.approx(60, abs=5)
    taken = db.open(item, takeover=True)
    assert (taken.verdict, taken.told, taken.fence) == ("done", False, None)
    papayya_clock.shift(61)
    [sent] = db.sends()
    assert (sent.item_id, sent.ended) == (item, True)
    told = db.open(item)  # that message has the say, whether or not its worker is alive
    assert (told.verdict, told.told) == ("done", False)
    db.call("told", item=item)
    opened = db.open(item)
    assert (opened.verdict, opened.told) == ("done", True)
    papayya_clock.shift(10_000)
    assert db.sends() == []


def test_nothing_follows(db: Contract) -> None:
    """An item that is closed without a time to tell is told at once; an open one cannot be told."""
    item = ended(db, "a", tell=None)
    opened = db.open(item)
    assert (opened.verdict, opened.told) == ("done", True)
    [row] = db.publish("b")
    db.call("told", item=row[1])
    assert db.fact(row[1], "send_at IS NOT NULL") is True


def test_untold_for_ever(db: Contract, papayya_clock: Clock) -> None:
    """The end of an item is sent a dozen times, then given up; open items never are."""
    item, open_item = ended(db, "a"), int(db.publish("b")[0][1])
    sent = []
    for _ in range(20):
        papayya_clock.shift(3_600)
        sent += [one.item_id for one in db.sends()]
    assert (sent.count(item), sent.count(open_item)) == (12, 20)
    assert db.open(item).told is True


def test_poison_is_told(db: Contract) -> None:
    """An item that the sweep ends is sent once more at once, so that its carrier learns the end."""
    item = int(db.publish("a")[0][1])
    db.fence(item)
    assert [row[4] for row in db.sweep("w1", max_deliveries=1)] == ["failed"]
    assert [(one.item_id, one.ended) for one in db.sends()] == [(item, True)]
    assert db.open(item, takeover=True).verdict == "failed"


def test_poison_at_open_is_untold(db: Contract) -> None:
    """Who opens an item once too often ends it, and has to tell its carrier."""
    item = int(db.publish("a")[0][1])
    db.fence(item)
    opened = db.open(item, takeover=True, max_deliveries=1)
    assert (opened.verdict, opened.told) == ("failed", False)
    assert db.fact(item, "send_at > papayya.now()") is True


def test_cancelled_is_told(db: Contract, papayya_clock: Clock) -> None:
    """A cancelled item whose message is nowhere is sent once; one on its way learns it on arrival."""
    parked, queued = (int(row[1]) for row in db.publish("parked", "queued"))
    db.pause(items=[parked])
    db.cancel()
    assert [(one.item_id, one.ended) for one in db.sends()] == [(parked, True)]
    opened = db.open(queued)
    assert (opened.verdict, opened.told) == ("cancelled", False)
    papayya_clock.shift(61)
    assert queued in [one.item_id for one in db.sends()]


def test_give_up(db: Contract) -> None:
    """Somebody who does not hold an item may end it as failed, once, and its carrier knows."""
    held, free, done = (int(row[1]) for row in db.publish("held", "free", "done"))
    fence = db.fence(held)
    db.checkpoint(fence, cost=7)
    db.close(done, db.fence(done))
    options = {"check": "time_limit", "reason": "too long"}
    assert [db.call("give_up", item=one, **options)[0] for one in (held, free, done, 2**40)] == [
        True,
        True,
        False,
        False,
    ]
    assert db.call("give_up", item=held, **options)[0] is False
    assert db.checkpoint(fence)[0] == "lost"
    facts = "state::text, reason, cost_nusd, send_at"
    assert db.fact(held, facts) == ("failed", "too long", 7, None)
    assert db.open(held).told is True
    assert db.rows("SELECT DISTINCT check_name FROM papayya.finding") == [("time_limit",)]
    assert db.unexplained() == []


def test_give_up_live(db: Contract) -> None:
    """Only what is at work of these submissions is given up."""
    first, second, free = (
        int(row[1])
        for row in db.publish({"k": "a", "g": "01"}, {"k": "b", "g": "02"}, {"k": "c", "g": "01"})
    )
    db.fence(first)
    db.fence(second)
    found = db.many("give_up_live", digests=[b"\1"], check="time_limit", reason="too long")
    assert found == [(first,)]
    assert [db.state(one) for one in (first, second, free)] == ["failed", "running", "queued"]


def test_hand_back(db: Contract, papayya_clock: Clock) -> None:
    """What is parked goes back with its envelope, and ends as cancelled; the rest stays."""
    keys = ("paused", "waiting", "lost", "fresh", "busy")
    paused, waiting, lost, fresh, busy = ids = [int(row[1]) for row in db.publish(*keys)]
    papayya_clock.freeze()
    db.rows("UPDATE papayya.item SET send_at = papayya.now() WHERE id = %s", lost)
    db.release(paused, db.fence(paused), "paused", paused_by="code")
    db.release(waiting, db.fence(waiting), "waiting", delay=40.0)
    db.fence(busy)
    papayya_clock.shift(10)
    wanted: dict[str, Any] = {"run": "r", "limit": 10}

    def back(**options: Any) -> list[Any]:
        sql = statements("acts.sql")["hand_back"]
        return db.connection.execute(sql, wanted | options).fetchall()

    assert back(carriers=["other"]) == []
    found = {row[0]: row for row in back(carriers=["test"])}
    assert set(found) == {paused, waiting, lost}
    assert [float(found[one][13]) for one in (paused, waiting, lost)] == [0, 30, 0]
    assert float(found[paused][9]) == 10
    assert bytes(found[waiting][12]) == b"<waiting>"
    assert [db.state(one) for one in ids] == ["cancelled"] * 3 + ["queued", "running"]
    assert db.fact(paused, "reason, send_at") == ("handed back to test", None)
    assert db.fact(paused, "envelope_hash, dispatch_no") == (None, 1)  # older copies are stale
    assert back(carriers=["test"]) == []
    assert db.sends() == []
    assert db.unexplained() == []
    assert db.state(fresh) == "queued"


def test_stuck_cohorts(db: Contract, papayya_clock: Clock) -> None:
    """A cohort is stuck when its size is known, all parts have ended and are told, and nothing followed."""
    parts = [{"k": key, "co": "chord", "cp": place} for place, key in enumerate("ab")]
    a, b = (int(row[1]) for row in db.publish(*parts))

    def later() -> list[str]:
        papayya_clock.shift(31)
        return db.stuck()

    db.close(a, db.fence(a))
    assert later() == []  # its size is unknown, and a part is open
    db.call("cohort_size", name="chord", carrier="test", size=2)
    assert later() == []  # a part is open
    db.close(b, db.fence(b), tell=1_000.0)
    assert later() == []  # its carrier was not told yet
    db.call("told", item=b)
    assert db.stuck(10_000.0) == []  # not quiet for long enough
    assert later() == ["chord"]
    assert db.stuck() == []
    assert later() == ["chord"]
    [(cohort,)] = db.rows("SELECT id FROM papayya.cohort")
    found = db.many("cohort_parts", cohort=cohort)
    assert [(row[0], row[1], bytes(row[4]), *row[7:]) for row in found] == [
        (a, "completed", b"<a>", "r", "acme"),
        (b, "completed", b"<b>", "r", "acme"),
    ]
    db.publish({"k": "callback", "cf": "chord"})
    assert later() == []


@pytest.mark.parametrize("single", [True, False], ids=["one", "many"])
def test_parts(db: Contract, single: bool) -> None:
    """A part that is published twice is one; one that replaces another takes its place."""

    def publish(key: str, place: int | None) -> int:
        if single:
            return int(db.publish_one(key, cohort="chord", place=place)[0])
        return int(db.publish({"k": key, "co": "chord", "cp": place})[0][1])

    first = publish("a", 0)
    assert publish("a", 0) == first
    second = publish("b", 0)
    third = publish("c", None)
    assert publish("c", None) == third
    sql = "SELECT item_id, place FROM papayya.cohort_part ORDER BY 1"
    assert db.rows(sql) == [(second, 0), (third, None)]
    db.call("cohort_size", name="chord", carrier="test", size=2)
    db.call("cohort_fired", names=["chord", "unknown"])
    assert db.one("SELECT size, fired_at IS NOT NULL FROM papayya.cohort") == (2, True)


def test_ended_since(db: Contract, papayya_clock: Clock) -> None:
    """What ended lately is listed with its envelope, a page at a time; what has none is left out."""
    old = ended(db, "old")
    papayya_clock.shift(1_000)
    a, b = ended(db, "a"), ended(db, "b")
    [bare] = db.items(db.start_run(), "bare")
    db.close(bare, db.fence(bare), "failed", findings=finding("failed"))
    wanted: dict[str, Any] = {"carrier": "test", "seconds": 100.0, "limit": 1}
    first = db.many("ended_since", after=0, **wanted)
    assert [(row[0], bytes(row[4])) for row in first] == [(a, b"<a>")]
    assert [row[0] for row in db.many("ended_since", after=a, **wanted)] == [b]
    assert db.many("ended_since", after=b, **wanted) == []
    assert old < a


def test_published_again(db: Contract) -> None:
    """An ended item's message can be published once more on purpose; one on its way cannot."""
    first, *_ = db.publish_one("a", again=True)
    assert db.publish_one("a", again=True)[0] == first
    db.close(first, db.fence(first))
    assert db.publish_one("a")[0] == first
    second, ordinal, state, fresh = db.publish_one("a", again=True)
    assert (second != first, ordinal, state, fresh) == (True, 2, "queued", True)
    assert db.publish_one("a")[0] == second
    assert db.unexplained() == []


def test_overtaken(db: Contract, papayya_clock: Clock) -> None:
    """A message is known to be overtaken when one that was sent after it has arrived."""
    first, *_ = db.publish_one("a", digest=b"1")
    papayya_clock.shift(1)
    second, *_ = db.publish_one("b", digest=b"2")
    papayya_clock.shift(60)
    assert sorted((one.item_id, one.overtaken) for one in db.sends()) == [
        (first, False),
        (second, False),
    ]
    db.open(second)
    papayya_clock.shift(121)
    assert [(one.item_id, one.overtaken) for one in db.sends()] == [(first, True)]


def test_revoked(db: Contract) -> None:
    """A message that its carrier threw away is not sent again, whoever cancelled its item before."""
    item = int(db.publish("a")[0][1])
    db.fence(item)
    db.cancel(None, [item])
    db.sweep("w1")
    assert db.fact(item, "send_at IS NOT NULL") is True
    db.call("revoked", item=item, reason="it was revoked")
    assert db.fact(item, "send_at IS NULL AND state = 'cancelled' AND reason = 'enough'") is True
