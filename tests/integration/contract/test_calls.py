"""Calls: held before they are sent, settled once, answered from the journal, summed everywhere."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from papayya_core.testing.clock import Clock
from tests.integration.contract.callsql import (
    KEY,
    calls,
    expire,
    hold,
    left,
    money,
    reconcile,
    settle,
)
from tests.integration.contract.sql import Contract, finding

Connect = Callable[[str], Contract]


def begun(db: Contract, *keys: str) -> list[tuple[int, int]]:
    """Begin items; return them with their fences."""
    return [(item, db.fence(item)) for item in db.items(db.start_run(), *(keys or ("a",)))]


def test_hold_and_settle(db: Contract) -> None:
    """A call is held at its bound and settled at its cost, which counts on every side at once."""
    [(item, fence)] = begun(db)
    held = hold(db, item, fence)
    assert (held.verdict, held.bound_nusd, held.resampled) == ("go", 1000, False)
    assert (money(db).pending, money(db).pending_nusd, money(db).spend) == (1, 1000, 0)
    assert settle(db, held.call_id) == ("go", 300, None)
    found = money(db)
    assert (found.items, found.made, found.uncertain_nusd, found.pending) == (300, 1, 0, 0)
    db.checkpoint(fence, cost=40, tokens=2)
    assert db.close(item, fence)[2] == 340
    assert db.fact(item, "cost_nusd, tokens, steps, calls, unpriced") == (340, 22, 1, 1, 0)
    assert (money(db).calls, money(db).reported) == (300, 40)


def test_journal(db: Contract) -> None:
    """The next delivery is answered with what was paid for, byte by byte, and pays nothing."""
    [(item, fence)] = begun(db)
    settle(db, hold(db, item, fence).call_id, answer=b"whole", headers='[["a", "b"]]')
    db.sweep("w1")
    again = db.fence(item)
    found = hold(db, item, again)
    assert (found.verdict, found.status, found.headers) == ("go", 200, [["a", "b"]])
    assert found.body == b"whole"
    assert calls(db, item, "state, cost_nusd") == [("answered", 300), ("replayed", 0)]
    assert (money(db).calls, money(db).replayed, money(db).saved) == (300, 1, 300)
    assert hold(db, item, again, ordinal=2).body is None  # another sample
    assert hold(db, item, again, scope=b"s" * 16).body is None  # another step
    assert hold(db, item, again, key=b"x" * 16).body is None


def test_sent_twice(db: Contract) -> None:
    """A hold, an answer and a settlement whose statement is sent twice count once."""
    [(item, fence)] = begun(db)
    one = hold(db, item, fence, token=7)
    assert hold(db, item, fence, token=7).call_id == one.call_id
    settle(db, one.call_id)
    assert settle(db, one.call_id, cost=999) == ("go", 300, None)
    for _ in range(2):
        assert hold(db, item, fence, token=8).body is not None
    assert calls(db, item) == ["answered", "replayed"]
    assert money(db).calls == 300


@pytest.mark.parametrize("end", ["lost", "cancelled", "pause"])
def test_not_sent(db: Contract, end: str) -> None:
    """Where an item may not go on, nothing is held and nothing is answered."""
    [(item, fence)] = begun(db)
    settle(db, hold(db, item, fence).call_id)
    if end == "lost":
        db.release(item, fence, "queued")
    elif end == "cancelled":
        db.rows("SELECT papayya.cancel_v1(NULL, ARRAY[%s::bigint], 'why')", item)
    else:
        db.pause(items=[item])
    found = hold(db, item, fence)
    assert (found.verdict, found.call_id, found.body) == (end, None, None)
    assert calls(db, item) == ["answered"]


def test_ended_item(db: Contract) -> None:
    """Of an ended item the journal still answers, and nothing new is held."""
    [(item, fence)] = begun(db)
    settle(db, hold(db, item, fence).call_id, answer=b"whole")
    db.close(item, fence)
    assert hold(db, item, 0).body == b"whole"
    assert hold(db, item, 0, ordinal=2).verdict == "ended"
    assert calls(db, item) == ["answered"]


@pytest.mark.parametrize(
    ("state", "uncertain", "cost"),
    [("failed", 0, 0), ("void", 0, 0), ("uncertain", 1000, 0), ("broken", 700, 300)],
)
def test_other_ends(db: Contract, state: str, uncertain: int, cost: int) -> None:
    """What was refused or not sent costs nothing; what may have been billed keeps its hold."""
    [(item, fence)] = begun(db)
    settle(db, hold(db, item, fence).call_id, state)
    assert (money(db).uncertain_nusd, money(db).spend) == (uncertain, cost)
    found = hold(db, item, fence)
    assert found.body is None
    assert calls(db, item, "attempt") == [1, 2]
    db.close(item, fence)
    assert db.fact(item, "uncertain_nusd") == uncertain


def test_late_answer(db: Contract, papayya_clock: Clock) -> None:
    """A hold whose worker is lost becomes uncertain; its answer is taken however late it comes."""
    [(item, fence)] = begun(db)
    held = hold(db, item, fence)
    assert expire(db) == 0
    db.sweep("w1")
    assert calls(db, item) == ["uncertain"]
    assert (money(db).uncertain, money(db).uncertain_nusd) == (1, 1000)
    again = db.fence(item)
    db.close(item, again)
    assert db.fact(item, "cost_nusd, uncertain_nusd") == (0, 1000)
    assert settle(db, held.call_id)[0] == "lost"
    assert db.fact(item, "cost_nusd, uncertain_nusd") == (300, 0)
    assert (money(db).uncertain, money(db).items) == (0, 300)


def test_left_behind(db: Contract, papayya_clock: Clock) -> None:
    """A call that its item did not wait for has a while to end, then it is uncertain."""
    [(item, fence)] = begun(db)
    hold(db, item, fence)
    db.close(item, fence)
    assert expire(db) == 0
    papayya_clock.shift(61)
    assert expire(db) == 1
    assert db.fact(item, "uncertain_nusd, calls") == (1000, 1)


def test_rejected(db: Contract) -> None:
    """Answers that were no good are asked anew, and stay paid."""
    [(item, fence)] = begun(db)
    settle(db, hold(db, item, fence).call_id)
    assert db.call("reject", item=item, scope=b"other")[0] == 0
    assert db.call("reject", item=item, scope=b"")[0] == 1
    held = hold(db, item, fence)
    assert (held.body, held.resampled) == (None, True)
    settle(db, held.call_id, answer=b"better")
    assert hold(db, item, fence).body == b"better"
    assert calls(db, item, "attempt, rejected, resampled") == [
        (1, True, False),
        (2, False, True),
        (1, False, False),
    ]
    assert money(db).calls == 600


def test_unpriced(db: Contract) -> None:
    """An unknown price is no price: it is counted, and said by hand, once and again."""
    [(item, fence)] = begun(db)
    held = hold(db, item, fence, bound=None)
    settle(db, held.call_id, cost=None)
    assert calls(db, item, "cost_nusd, unbounded") == [(None, None)]
    assert (money(db).unpriced, money(db).spend) == (1, 0)
    db.close(item, fence)
    assert db.fact(item, "unpriced") == 1
    assert reconcile(db, held.call_id, 50) == "answered"
    assert reconcile(db, held.call_id, 60) == "answered"
    assert (money(db).unpriced, money(db).items) == (0, 60)
    assert db.fact(item, "unpriced, cost_nusd") == (0, 60)


def test_reconcile(db: Contract) -> None:
    """A person ends what is uncertain; what is certain is not theirs to say."""
    [(item, fence)] = begun(db)
    held = hold(db, item, fence)
    assert reconcile(db, held.call_id, 1) is None  # under way
    settle(db, held.call_id, "uncertain")
    assert reconcile(db, held.call_id, 0) == "uncertain"
    assert (money(db).uncertain, money(db).uncertain_nusd, money(db).spend) == (0, 0, 0)
    fine = settle(db, fine_id := hold(db, item, fence).call_id)
    assert fine[1] == 300
    assert reconcile(db, fine_id, 1) is None
    assert reconcile(db, 0, 1) is None


def test_estimated(db: Contract) -> None:
    """An answer without its usage stays in doubt, until a person says what it cost."""
    [(item, fence)] = begun(db)
    held = hold(db, item, fence)
    settle(db, held.call_id, estimated=True)
    assert (money(db).spend, money(db).uncertain_nusd) == (300, 700)
    assert reconcile(db, held.call_id, 450) == "answered"
    assert (money(db).spend, money(db).uncertain_nusd, money(db).uncertain) == (450, 0, 0)


def test_unbounded(db: Contract) -> None:
    """A call without a bound says why, and stays uncertain without an amount."""
    [(item, fence)] = begun(db)
    for options in ({"output": None}, {"bound": None}, {"unbounded": "a file"}):
        settle(db, hold(db, item, fence, **options).call_id, "uncertain")
    assert calls(db, item, "unbounded") == ["no limit of output", "no price", "a file"]
    assert (money(db).unbounded, money(db).uncertain, money(db).uncertain_nusd) == (3, 3, 0)


def test_budget(db: Contract) -> None:
    """A settlement is booked on the budget of its run, also one that is set afterwards."""
    run = db.start_run(budget=2000)
    [item] = db.items(run, "a")
    fence = db.fence(item)
    held = hold(db, item, fence)
    assert left(db, run) == (1000, 1000, 0)
    settle(db, held.call_id)
    assert left(db, run) == (1700, 0, 300)
    open_yet = hold(db, item, fence, ordinal=2)
    db.rows("DELETE FROM papayya.budget")
    db.call("set_budget", run=run, agent=db.agent, limit_nusd=1500)
    assert left(db, run) == (200, 1000, 300)
    settle(db, open_yet.call_id)
    assert left(db, run) == (900, 0, 600)


def test_near(db: Contract) -> None:
    """A request that is not in the journal is held against one that was answered before."""
    [(item, fence)] = begun(db)
    settle(db, hold(db, item, fence, request=b"one").call_id)
    settle(db, hold(db, item, fence, request=b"two", key=b"2" * 16).call_id)
    assert hold(db, item, fence, key=b"3" * 16).near_body is None  # of the same delivery
    db.sweep("w1")
    again = db.fence(item)
    hold(db, item, again)
    assert hold(db, item, again, key=b"3" * 16).near_body == b"two"
    assert hold(db, item, again, key=b"3" * 16, near=False).near_body is None
    assert hold(db, item, again, key=b"3" * 16, scope=b"s").near_body is None


def test_hash_only(db: Contract) -> None:
    """An answer of which only the name is kept is paid for again."""
    [(item, fence)] = begun(db)
    settle(db, hold(db, item, fence, body=None).call_id, body=None)
    assert calls(db, item, "response_hash IS NOT NULL") == [True]
    assert hold(db, item, fence, body=None).body is None
    assert db.one("SELECT count(*) FROM papayya.payload") == 0


def test_record_call(db: Contract) -> None:
    """A tool's call is recorded whole, once, with its own cost; it is no answer of the journal."""
    [(item, fence)] = begun(db)
    params: dict[str, object] = {"n": 1, "scope": b"s", "kind": "tool", "model": "search"}
    params |= {"error": None, "seconds": 0.5, "cost": 70, "token": 5}
    params |= {"hash": b"h", "codec": 0, "size": 2, "body": b"in", "answer_hash": b"i"}
    params |= {"answer_codec": 0, "answer_size": 3, "answer_body": b"out"}
    first = db.call("record_call", item=item, fence=fence, **params)
    assert db.call("record_call", item=item, fence=fence, **params) == first
    db.close(item, fence)
    params |= {"token": 6, "error": "it broke", "cost": 1}
    db.call("record_call", item=item, fence=fence, **params)
    assert calls(db, item, "kind, state, error") == [
        ("tool", "answered", None),
        ("tool", "failed", "it broke"),
    ]
    assert db.fact(item, "cost_nusd, calls") == (71, 2)
    assert money(db).spend == 71
    assert hold(db, item, 0, scope=b"s", key=b"").body is None


def test_settle_against_close(connect: Connect) -> None:
    """However settlements and the end of their item fall together, no cost is missed."""
    db = connect("w1")
    workers = [connect(f"c{n}") for n in range(4)]
    for n in range(20):
        [item] = db.items(db.start_run(), f"k{n}")
        fence = db.fence(item)
        held = [hold(db, item, fence, ordinal=m + 1).call_id for m in range(3)]
        acts: list[Callable[[], object]] = [
            lambda worker=worker, one=one: settle(worker, one)  # type: ignore[misc]
            for worker, one in zip(workers, held, strict=False)
        ]
        acts.insert(n % 4, lambda item=item, fence=fence: workers[3].close(item, fence))  # type: ignore[misc]
        threads = [threading.Thread(target=act) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert db.fact(item, "cost_nusd") == 900
    assert money(db).items == 20 * 900
    assert db.rows("SELECT * FROM papayya.unexplained_v1('r')") == []


def test_waterfall(db: Contract) -> None:
    """The view names a call's step by its key, whatever number the step had."""
    [(item, fence)] = begun(db)
    scope = db.one("SELECT papayya.scope_v1('s', ''::bytea, 1)")
    settle(db, hold(db, item, fence, scope=scope, n=3, key=KEY).call_id)
    db.checkpoint(fence, n=2)
    found = db.one("SELECT step, step_n, n, item, run, tenant, uncertain FROM papayya.call_now")
    assert found == ("s", 2, 3, "a", "r", "acme", False)


def test_less_than_it_seemed(db: Contract) -> None:
    """What turns out to have cost less is taken back from its budget, whatever that shard holds."""
    run = db.start_run(budget=1000)
    [item] = db.items(run, "a")
    held = hold(db, item, db.fence(item))
    settle(db, held.call_id, "broken")
    db.rows("UPDATE papayya.budget_slot SET slot = slot %% 16 + 1 WHERE slot > 0")
    assert reconcile(db, held.call_id, 100) == "broken"
    assert money(db).spend == 100
    assert left(db, run) == (900, 0, 100)


def test_the_answer_that_was_kept(db: Contract) -> None:
    """Where two were paid for the same question, the one whose body was kept is given."""
    [(item, fence)] = begun(db)
    settle(db, hold(db, item, fence).call_id, body=None)
    settle(db, hold(db, item, fence).call_id, answer=b"kept")
    assert hold(db, item, fence).body == b"kept"


def test_the_answer_that_was_gone_on_with(db: Contract) -> None:
    """An answer that comes late, to a worker that was given up, does not take another's place."""
    [(item, fence)] = begun(db)
    given_up = hold(db, item, fence)
    db.sweep("w1")
    settle(db, hold(db, item, db.fence(item)).call_id, answer=b"gone on with")
    settle(db, given_up.call_id, answer=b"late")
    db.sweep("w1")
    assert hold(db, item, db.fence(item)).body == b"gone on with"
    assert money(db).calls == 600


@pytest.mark.parametrize("end", ["completed", "failed"])
def test_left_running(db: Contract, end: str, papayya_clock: Clock) -> None:
    """What an item has left running is recorded and summed, until somebody else has the item."""
    [(item, fence)] = begun(db)
    db.close(item, fence, end, findings=finding("failed") if end == "failed" else None)
    papayya_clock.shift(61)
    held = hold(db, item, fence)
    assert (held.verdict, expire(db)) == ("go", 0)
    assert settle(db, held.call_id)[0] == "go"
    assert db.fact(item, "cost_nusd, calls") == (300, 1)
    assert money(db).items == 300
    if end == "failed":
        db.rows("SELECT papayya.retry_v1(NULL, ARRAY[%s::bigint])", item)
        assert hold(db, item, fence, ordinal=2).verdict == "lost"


def test_lost_at_once(db: Contract, papayya_clock: Clock) -> None:
    """What a lost worker had under way is in doubt from the moment it is known to be lost."""
    (a, fence), (b, other) = begun(db, "a", "b")
    held = [hold(db, a, fence).call_id, hold(db, b, other).call_id]
    db.sweep("w1")
    assert calls(db, a) + calls(db, b) == ["uncertain"] * 2
    hold(db, a, db.fence(a))
    papayya_clock.shift(61)
    db.fence(a)  # takes the lease over
    assert calls(db, a) == ["uncertain"] * 2
    assert (money(db).pending, money(db).uncertain_nusd) == (0, 3000)
    assert expire(db) == 0
    settle(db, held[0])
    assert (money(db).calls, money(db).uncertain_nusd) == (300, 2000)


def test_any_number_of_samples(db: Contract) -> None:
    """A request for more samples than any provider gives is held like others."""
    [item] = db.items(db.start_run(), "a")
    assert hold(db, item, db.fence(item), samples=2**31 - 1).verdict == "go"
