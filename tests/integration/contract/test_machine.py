"""The contract under any sequence of calls: captures, opens, late writes, lost workers, retries."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from papayya_core.testing.clock import Clock
from tests.integration.contract.callsql import expire, hold, reconcile, settle
from tests.integration.contract.sql import Contract, finding

Fence = tuple[int, int]  # item, fence
WORKERS = ("w1", "w2")
ACTIONS = (
    *("open", "checkpoint", "close", "world") * 3,
    *("capture", "release", "release", "by hand", "by hand"),
    *("hold", "settle") * 2,
)
EVENTS = (
    *("lost", "lost", "time", "death", "pump") * 2,
    *("heartbeats", "rich", "rich", "sweep"),
    *("drain", "drain", "poor", "cancel the run"),
    *("pause r", "pause acme", *["resume all"] * 5),
    *("expire", "reconcile"),
)
CLEAR = (
    "TRUNCATE papayya.item, papayya.dispatch, papayya.step, papayya.finding, papayya.intake,"
    " papayya.budget, papayya.budget_slot, papayya.run, papayya.call, papayya.spend CASCADE"
)
ENDS = ("answered", "answered", "failed", "void", "uncertain", "broken")
VIOLATIONS = {
    "conserved": "SELECT * FROM papayya.audit_v1('r') WHERE submitted <> queued + running + paused"
    " + waiting + completed + failed + cancelled",
    "explained": "SELECT * FROM papayya.unexplained_v1('r')",
    "one live dispatch": "SELECT item_id, lane FROM papayya.dispatch WHERE ended_at IS NULL"
    " GROUP BY 1, 2 HAVING count(*) > 1",
    "running items are held": "SELECT id FROM papayya.item i WHERE state = 'running' AND NOT EXISTS"
    " (SELECT FROM papayya.dispatch d WHERE d.item_id = i.id AND ended_at IS NULL)",
    "held items run": "SELECT i.id, i.state FROM papayya.item i JOIN papayya.dispatch d"
    " ON d.item_id = i.id AND d.ended_at IS NULL WHERE i.state NOT IN ('running', 'cancelled')",
    "paused or parked later": "SELECT id FROM papayya.item WHERE (paused_by IS NOT NULL AND"
    " finished_at IS NOT NULL) OR (finished_at IS NULL AND (state = 'paused') <> (parked_at IS NOT NULL))",
    "outcomes follow": "SELECT id FROM papayya.item WHERE state IN ('completed', 'failed')"
    " AND outcome IS DISTINCT FROM papayya.outcome_v1(id)",
    "costs add up": "SELECT i.id FROM papayya.item i, papayya.item_sum_v1(i.id) AS s"
    " WHERE finished_at IS NOT NULL AND (i.cost_nusd, i.tokens, i.calls, i.uncertain_nusd)"
    " <> (s.cost, s.tokens, s.calls, s.uncertain)"
    " AND NOT EXISTS (SELECT FROM papayya.dispatch d WHERE d.item_id = i.id AND ended_at IS NULL)",
    "budget is spent": "SELECT a, b FROM (SELECT (SELECT coalesce(sum(spent), 0)"
    " FROM papayya.budget_slot) AS a, (SELECT coalesce(sum(cost_nusd), 0) FROM papayya.spend) AS b)"
    " AS x WHERE a <> b",
    "money agrees": "SELECT * FROM papayya.audit_money_v1('r') WHERE spend_nusd <> calls_nusd + reported_nusd"
    " OR (uncertain, uncertain_nusd) <> (SELECT coalesce(sum(s.uncertain), 0), coalesce(sum(s.uncertain_nusd), 0)"
    " FROM papayya.spend s)",
    "budgets add up": "SELECT * FROM papayya.audit_budgets_v1()",
    "pending is held": "SELECT k.id FROM papayya.call k WHERE state = 'pending' AND cost_nusd IS NOT NULL",
    "replays are free": "SELECT id FROM papayya.call WHERE state = 'replayed' AND cost_nusd <> 0",
}  # fmt: skip


class Machine(RuleBasedStateMachine):
    """Two workers, three keys and a clock; everything goes through the contract's functions.

    One rule draws what happens, so that no example is without opens or closes.
    """

    db: Contract
    clock: Clock

    def __init__(self) -> None:
        super().__init__()
        self.db.rows(CLEAR)
        self.db.rows("UPDATE papayya.tenant SET paused_at = NULL")
        self.clock.restore()
        self.finished: dict[Any, Any] = {}
        self.fences: list[Fence] = []
        self.attempts = 0

    @initialize(budgeted=st.booleans())
    def begin(self, budgeted: bool) -> None:
        self.budgeted = budgeted
        self.run = self.db.start_run(budget=1000 if budgeted else None)
        self.items = self.db.items(self.run, "a", "b")

    @rule(data=st.data())
    def turn(self, data: st.DataObject) -> None:
        draw = data.draw
        action = draw(st.sampled_from(ACTIONS))
        if action == "capture":
            keys = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=4))
            self.capture(keys, draw(st.sampled_from(["00", "01"])))
        elif action == "open":
            item, worker = draw(st.sampled_from(self.items)), draw(st.sampled_from(WORKERS))
            self.open(item, worker, draw(st.booleans()))
        elif action == "by hand":
            self.by_hand(draw(st.sampled_from(self.items)), draw(st.integers(0, 6)))
        elif action == "world":
            self.world(draw(st.sampled_from(EVENTS)))
        elif self.fences:
            self.write(action, self.a_fence(draw), draw)

    def a_fence(self, draw: Any) -> Fence:
        """Choose a live dispatch mostly, at times one from long ago."""
        live = self.db.rows("SELECT item_id, id FROM papayya.dispatch WHERE ended_at IS NULL")
        old = not live or draw(st.integers(0, 3)) == 0
        return tuple(draw(st.sampled_from(self.fences if old else sorted(live))))

    def write(self, action: str, fence: Fence, draw: Any) -> None:
        if action == "hold":
            self.hold(fence, draw(st.sampled_from([b"", b"s"])), draw(st.integers(1, 2)))
        elif action == "settle":
            self.settle(
                draw(st.integers(0, 5)), draw(st.sampled_from(ENDS)), draw(st.integers(0, 9))
            )
        elif action == "checkpoint":
            cost, ok = draw(st.integers(0, 60)), draw(st.booleans())
            self.checkpoint(fence, draw(st.sampled_from("xy")), cost, ok)
        elif action == "close":
            severity = draw(st.sampled_from(["note", "degraded", "failed"]))
            state = draw(st.sampled_from(["completed", "failed"]))
            self.close(fence, state, severity, draw(st.integers(0, 9)))
        else:
            state = draw(st.sampled_from(["queued", "waiting", "paused"]))
            by = draw(st.sampled_from(["budget", "hand", "code"]))
            self.release(fence, state, by, draw(st.integers(0, 9)))

    def hold(self, fence: Fence, scope: bytes, ordinal: int) -> None:
        """Nothing is held under an old fence, but for what an ended item has left running; what is
        answered is what was paid for."""
        may = "SELECT d.ended_at IS NULL OR (d.ending IN ('completed', 'failed') AND d.ending::text = i.state::text)"
        of = " FROM papayya.dispatch d JOIN papayya.item i ON i.id = d.item_id WHERE d.id = %s"
        live = self.db.one(may + of, fence[1])
        found = hold(self.db, *fence, scope=scope, ordinal=ordinal, bound=20)
        assert (found.verdict == "lost") == (not live)
        answers = "SELECT count(*) FROM papayya.call WHERE state = 'answered' AND NOT rejected"
        where = " AND item_id = %s AND scope = %s AND ordinal = %s"
        paid = self.db.one(answers + where, fence[0], scope, ordinal)
        assert (found.body is not None) == (found.verdict == "go" and paid > 0)

    def settle(self, which: int, state: str, cost: int) -> None:
        """Any call may be settled at any time, again too; doubts about its step may come first."""
        ids = self.db.rows(
            "SELECT id, item_id, scope FROM papayya.call WHERE state <> 'replayed' ORDER BY id DESC"
        )
        if which < len(ids):
            call, item, scope = ids[which]
            priced = cost if state in ("answered", "broken") and cost < 8 else None
            settle(self.db, call, state, cost=priced)
            if cost == 0:
                self.db.call("reject", item=item, scope=scope)

    def capture(self, keys: list[str], digest: str) -> None:
        rows = self.db.capture(self.run, *({"k": key, "g": digest} for key in keys))
        again = self.db.capture(self.run, *({"k": key, "g": digest} for key in keys))
        assert [row[1] for row in rows] == [row[1] for row in again]
        assert not any(row[5] for row in again)
        self.items = sorted({*self.items, *(row[1] for row in rows)})

    def open(self, item: int, worker: str, takeover: bool) -> None:
        options = {"owner": worker, "takeover": takeover, "token": secrets.randbits(60)}
        before, held = self.db.state(item), self.is_held(item)
        opened = self.db.open(item, max_deliveries=3, **options)
        again = self.db.open(item, max_deliveries=3, **options)
        assert (opened.verdict, opened.fence) == (again.verdict, again.fence)
        expected = {"completed": "done", "failed": "failed", "cancelled": "cancelled"}.get(before)
        assert expected in (None, opened.verdict)
        if opened.fence is not None:
            assert not held
            assert self.db.state(item) == "running"
            self.fences.append((item, opened.fence))

    def checkpoint(self, fence: Fence, label: str, cost: int, ok: bool) -> None:
        item, number = fence
        self.attempts += 1
        state = "completed" if ok else "failed"
        row = {"state": state, "attempts": self.attempts, "cost": cost, "budgeted": self.budgeted}
        row["result"] = f"{number}/{self.attempts}"
        before = self.snapshot()
        live = self.is_live(number)
        verdict, stored, _ = self.db.checkpoint(number, label, **row)
        cancelled = self.db.state(item) == "cancelled"
        asked = "pause" if self.paused_by(item) else "go"
        assert verdict == ("lost" if not live else "cancelled" if cancelled else asked)
        assert stored <= live
        after = self.snapshot()
        assert self.db.checkpoint(number, label, **row)[:2] == (verdict, False)
        assert self.snapshot() == after
        assert stored or after == before

    def close(self, fence: Fence, state: str, severity: str, cost: int) -> None:
        item, number = fence
        found = finding("failed" if state == "failed" else severity)
        live, before = self.is_live(number), self.snapshot()
        cancelled = self.db.state(item) == "cancelled"
        first = self.db.close(item, number, state, cost_nusd=cost, findings=found)
        after = self.snapshot()
        self.db.close(item, number, state, cost_nusd=cost, findings=found)
        assert self.snapshot() == after
        if live:
            assert first[0] == ("cancelled" if cancelled else state)
        else:
            assert after == before

    def release(self, fence: Fence, state: str, by: str, cost: int) -> None:
        item, number = fence
        live, before = self.is_live(number), self.snapshot()
        cancelled = self.db.state(item) == "cancelled"
        taken_back = (state, by, self.paused_by(item)) == ("paused", "hand", None)
        options: dict[str, Any] = {"delay": 40.0, "paused_by": by, "cost_nusd": cost}
        first = self.db.release(item, number, state, **options)
        after = self.snapshot()
        self.db.release(item, number, state, **options)
        assert self.snapshot() == after
        if live:
            assert first == ("cancelled" if cancelled else "queued" if taken_back else state)
        else:
            assert after == before

    def by_hand(self, item: int, what: int) -> None:
        state, by = self.db.state(item), self.paused_by(item)
        if what == 0:
            self.db.cancel(None, [item])
            assert self.db.state(item) in ("completed", "failed", "cancelled")
        elif what <= 3:
            expected = [item] if state == "failed" and not self.is_cancelled() else []
            assert self.db.retry(None, [item]) == expected
        elif what == 4:
            free = state not in ("completed", "failed", "cancelled") and by in (None, "budget")
            assert self.db.pause(items=[item]) == ([item] if free else [])
            assert self.db.pause(items=[item]) == []
            assert self.db.state(item) == ("paused" if free and state != "running" else state)
        else:
            assert self.db.resume(items=[item]) == ([item] if by else [])
            assert self.db.resume(items=[item]) == []
            assert self.db.state(item) == ("queued" if state == "paused" else state)

    def world(self, event: str) -> None:
        if event in ("time", "lost"):
            self.clock.shift(61)
        if event in ("lost", "sweep"):
            self.db.sweep(max_deliveries=3)
        if event == "heartbeats":
            self.clock.shift(30)
            self.db.beat()
        elif event == "death":
            self.db.sweep("w2", max_deliveries=3)
            assert self.db.sweep("w2", max_deliveries=3) == []
        elif event == "pump":
            self.pump()
        elif event in ("expire", "reconcile"):
            self.doubts(event)
        elif event.startswith(("pause ", "resume ", "drain", "cancel ")):
            self.hand(event)
        elif self.budgeted:
            self.fund(event)

    def fund(self, event: str) -> None:
        if event in ("rich", "poor"):
            limit = 50 if event == "poor" else 10_000
            self.db.call("set_budget", run=self.run, agent=None, limit_nusd=limit)

    def doubts(self, event: str) -> None:
        if event == "expire":
            expire(self.db)
            assert expire(self.db) == 0
        else:
            for (call,) in self.db.rows("SELECT id FROM papayya.call WHERE mod(id, 2) = 0"):
                reconcile(self.db, call, call)

    def pump(self) -> None:
        self.db.wake()
        assert self.db.wake() == 0
        sent = self.db.sends()
        assert {self.db.state(one.item_id) for one in sent} <= {"queued"}
        assert not (sent and self.is_stopped())
        assert self.db.sends() == []

    def hand(self, event: str) -> None:
        if event == "drain":
            self.db.rows("UPDATE papayya.run SET draining = NOT draining")
        elif event == "cancel the run":
            self.db.cancel()
        elif event == "resume all":
            self.db.resume("r")
            self.db.resume(tenant="acme")
        else:
            run, tenant = ("r", None) if event == "pause r" else (None, "acme")
            self.db.pause(run, tenant)
            assert self.db.pause(run, tenant) == []

    @invariant()
    def lawful(self) -> None:
        for law, query in VIOLATIONS.items():
            if law == "budget is spent" and not self.budgeted:
                continue
            assert self.db.rows(query) == [], law

    @invariant()
    def finished_steps_stay(self) -> None:
        sql = "SELECT item_id, label, (s.*)::text FROM papayya.step s WHERE state = 'completed'"
        now = {(item, label): row for item, label, row in self.db.rows(sql)}
        assert self.finished.items() <= now.items()
        self.finished = now

    def is_live(self, fence: int) -> bool:
        sql = "SELECT ended_at IS NULL FROM papayya.dispatch WHERE id = %s"
        return bool(self.db.one(sql, fence))

    def paused_by(self, item: int) -> str | None:
        by = self.db.one("SELECT paused_by::text FROM papayya.item WHERE id = %s", item)
        return None if by is None else str(by)

    def is_stopped(self) -> bool:
        sql = "SELECT r.paused_at IS NOT NULL OR t.paused_at IS NOT NULL FROM papayya.run r, papayya.tenant t"
        return bool(self.db.one(sql))

    def is_held(self, item: int) -> bool:
        return self.is_stopped() or self.paused_by(item) in ("hand", "code")

    def is_cancelled(self) -> bool:
        return self.db.one("SELECT cancelled_at FROM papayya.run") is not None

    def snapshot(self) -> list[Any]:
        tables = ("item", "dispatch", "step", "finding", "budget_slot")
        return [self.db.rows(f"SELECT t::text FROM papayya.{one} t ORDER BY 1") for one in tables]


@pytest.mark.timeout(300)  # half a minute on a quiet machine
def test_any_sequence(db: Contract, papayya_clock: Clock) -> None:
    """Whatever is called in whatever order, nothing is dropped, paid steps stay, costs add up."""

    class Bound(Machine):
        pass

    Bound.db, Bound.clock = db, papayya_clock
    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=80,
            stateful_step_count=50,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
