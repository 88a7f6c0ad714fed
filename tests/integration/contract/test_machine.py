"""The contract under any sequence of calls: captures, opens, late writes, lost workers, retries."""

from __future__ import annotations

import secrets
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from papayya_core.testing.clock import Clock
from tests.integration.contract.sql import Contract, finding

Fence = tuple[int, int]  # item, fence
WORKERS = ("w1", "w2")
CLEAR = (
    "TRUNCATE papayya.item, papayya.dispatch, papayya.step, papayya.finding, papayya.intake,"
    " papayya.budget, papayya.budget_spend, papayya.run CASCADE"
)
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
    "outcomes follow": "SELECT id FROM papayya.item WHERE state IN ('completed', 'failed')"
    " AND outcome IS DISTINCT FROM papayya.outcome_v1(id)",
    "costs add up": "SELECT i.id FROM papayya.item i WHERE finished_at IS NOT NULL AND cost_nusd <>"
    " (SELECT coalesce(sum(s.cost_nusd), 0) FROM papayya.step s WHERE s.item_id = i.id)"
    " AND NOT EXISTS (SELECT FROM papayya.dispatch d WHERE d.item_id = i.id AND ended_at IS NULL)",
    "budget is spent": "SELECT a, b FROM (SELECT (SELECT coalesce(sum(spent_nusd), 0)"
    " FROM papayya.budget_spend) AS a, (SELECT coalesce(sum(cost_nusd), 0) FROM papayya.step) AS b)"
    " AS x WHERE a <> b",
}  # fmt: skip


class Machine(RuleBasedStateMachine):
    """Two workers, three keys and a clock; everything goes through the contract's functions."""

    db: Contract
    clock: Clock

    items = Bundle("items")
    fences = Bundle("fences")

    def __init__(self) -> None:
        super().__init__()
        self.db.rows(CLEAR)
        self.clock.restore()
        self.run = self.db.start_run(budget=500)
        self.finished: dict[Any, Any] = {}
        self.attempts = 0

    @initialize(target=items)
    def begin(self) -> int:
        return int(self.db.items(self.run, "a")[0])

    @rule(
        target=items,
        keys=st.lists(st.sampled_from("abc"), min_size=1, max_size=4),
        digest=st.sampled_from(["00", "01"]),
    )
    def capture(self, keys: list[str], digest: str) -> Any:
        rows = self.db.capture(self.run, *({"k": key, "g": digest} for key in keys))
        again = self.db.capture(self.run, *({"k": key, "g": digest} for key in keys))
        assert [row[1] for row in rows] == [row[1] for row in again]
        assert not any(row[5] for row in again)
        return multiple(*(row[1] for row in rows))

    @rule(target=fences, item=items, worker=st.sampled_from(WORKERS), takeover=st.booleans())
    def open(self, item: int, worker: str, takeover: bool) -> Any:
        options = {"owner": worker, "takeover": takeover, "token": secrets.randbits(60)}
        before = self.db.state(item)
        opened = self.db.open(item, max_deliveries=3, **options)
        again = self.db.open(item, max_deliveries=3, **options)
        assert (opened.verdict, opened.fence) == (again.verdict, again.fence)
        expected = {"completed": "done", "failed": "failed", "cancelled": "cancelled"}.get(before)
        assert expected in (None, opened.verdict)
        if opened.fence is None:
            return multiple()
        assert self.db.state(item) == "running"
        return (item, opened.fence)

    @rule(fence=fences, label=st.sampled_from("xy"), cost=st.integers(0, 60), ok=st.booleans())
    def checkpoint(self, fence: Fence, label: str, cost: int, ok: bool) -> None:
        item, number = fence
        self.attempts += 1
        state = "completed" if ok else "failed"
        row = {"state": state, "attempts": self.attempts, "cost": cost, "budgeted": True}
        row["result"] = f"{number}/{self.attempts}"
        before = self.snapshot()
        live = self.is_live(number)
        verdict, stored, _ = self.db.checkpoint(number, label, **row)
        cancelled = self.db.state(item) == "cancelled"
        assert verdict == ("lost" if not live else "cancelled" if cancelled else "go")
        assert stored <= live
        after = self.snapshot()
        assert self.db.checkpoint(number, label, **row)[:2] == (verdict, False)
        assert self.snapshot() == after
        assert stored or after == before

    @rule(
        fence=fences,
        state=st.sampled_from(["completed", "failed"]),
        severity=st.sampled_from(["note", "degraded", "failed"]),
        cost=st.integers(0, 9),
    )
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

    @rule(
        fence=fences,
        state=st.sampled_from(["queued", "waiting", "paused"]),
        reason=st.sampled_from(["budget: x", "by hand"]),
        cost=st.integers(0, 9),
    )
    def release(self, fence: Fence, state: str, reason: str, cost: int) -> None:
        item, number = fence
        live, before = self.is_live(number), self.snapshot()
        cancelled = self.db.state(item) == "cancelled"
        options: dict[str, Any] = {"delay": 40.0, "reason": reason, "cost_nusd": cost}
        first = self.db.release(item, number, state, **options)
        after = self.snapshot()
        self.db.release(item, number, state, **options)
        assert self.snapshot() == after
        if live:
            assert first == ("cancelled" if cancelled else state)
        else:
            assert after == before

    @rule(seconds=st.sampled_from([20.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.shift(seconds)

    @rule(worker=st.sampled_from(WORKERS))
    def heartbeat(self, worker: str) -> None:
        self.db.call("heartbeat", owner=worker, lease=60.0)

    @rule(dead=st.lists(st.sampled_from(WORKERS), max_size=1))
    def sweep(self, dead: list[str]) -> None:
        self.db.sweep(*dead, max_deliveries=3)
        assert self.db.sweep(*dead, max_deliveries=3) == []

    @rule()
    def pump(self) -> None:
        self.db.wake()
        assert self.db.wake() == 0
        for sent in self.db.sends():
            assert self.db.state(sent[0]) == "queued"
        assert self.db.sends() == []

    @rule(item=items)
    def retry(self, item: int) -> None:
        failed = self.db.state(item) == "failed"
        assert self.db.retry(None, [item]) == ([item] if failed and not self.is_cancelled() else [])

    @rule(item=items)
    def cancel(self, item: int) -> None:
        self.db.cancel(None, [item])
        assert self.db.state(item) in ("completed", "failed", "cancelled")

    @rule(yes=st.integers(0, 9))
    def cancel_run(self, yes: int) -> None:
        if yes == 9:
            self.db.cancel()

    @rule(limit=st.integers(0, 1000))
    def set_budget(self, limit: int) -> None:
        self.db.rows("SELECT papayya.set_budget_v1(%s, NULL, %s)", self.run, limit)

    @rule(on=st.booleans())
    def drain(self, on: bool) -> None:
        self.db.rows("UPDATE papayya.run SET draining = %s", on)

    @invariant()
    def lawful(self) -> None:
        for law, query in VIOLATIONS.items():
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

    def is_cancelled(self) -> bool:
        return self.db.one("SELECT cancelled_at FROM papayya.run") is not None

    def snapshot(self) -> list[Any]:
        tables = ("item", "dispatch", "step", "finding", "budget_spend")
        return [self.db.rows(f"SELECT t::text FROM papayya.{one} t ORDER BY 1") for one in tables]


def test_any_sequence(db: Contract, papayya_clock: Clock) -> None:
    """Whatever is called in whatever order, nothing is dropped, paid steps stay, costs add up."""

    class Bound(Machine):
        pass

    Bound.db, Bound.clock = db, papayya_clock
    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
