"""One run as it is now, for those who watch it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from papayya_core.store import outliers, reads
from papayya_core.store.outliers import OutlierRow
from papayya_core.store.reads import Connection, rows, values

_FILE = "watching.sql"
_FINDINGS, _OUTLIERS = 5, 20


@dataclass(frozen=True, slots=True)
class WatchedRun:
    """The run, and when it was looked at."""

    id: int
    run: str
    carrier: str
    created_at: datetime
    sealed_at: datetime | None
    paused_at: datetime | None
    cancelled_at: datetime | None
    draining: bool
    expect_count: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class WatchedTenant:
    """One tenant's items of the run. ``throttled``: of those waiting, for a rate limit."""

    id: int
    tenant: str
    paused_at: datetime | None
    items: int
    queued: int
    running: int
    paused: int
    waiting: int
    completed: int
    failed: int
    cancelled: int
    ok: int
    degraded: int
    outcome_failed: int
    cost_nusd: int
    throttled: int
    waiting_since: datetime | None
    starved: bool


@dataclass(frozen=True, slots=True)
class WatchedMoney:
    """What the run has spent and holds."""

    cost_nusd: int
    tokens: int
    calls: int
    uncertain_nusd: int
    unpriced_calls: int
    held_nusd: int
    pending_calls: int


@dataclass(frozen=True, slots=True)
class WatchedBudget:
    """A budget that the run comes under; amounts in nano-dollars or tokens."""

    id: int
    account: str
    unit: str
    period: str
    amount: int
    spent: int
    held: int
    left: int
    parked: int
    renews_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewFinding:
    """Something that was found just now."""

    at: datetime
    check: str
    severity: str
    reason: str
    key: str | None


@dataclass(frozen=True, slots=True)
class Slow:
    """What is not asked for each time."""

    budgets: Sequence[int] = ()
    outliers: Sequence[OutlierRow] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """One run at one moment."""

    run: WatchedRun
    tenants: list[WatchedTenant]
    money: WatchedMoney
    budgets: list[WatchedBudget]
    findings: list[NewFinding]
    outliers: list[OutlierRow]

    def count(self, *states: str) -> int:
        """Count the items in some states, or of some outcome."""
        return sum(getattr(one, state) for one in self.tenants for state in states)

    @property
    def ended(self) -> int:
        """How many items have ended."""
        return self.count("completed", "failed", "cancelled")

    @property
    def held_back(self) -> int:
        """How many queued items nobody may begin."""
        every = self.run.paused_at is not None or self.run.draining
        return sum(one.queued for one in self.tenants if every or one.paused_at is not None)


def look(connection: Connection, run: int, slow: Slow) -> Look:
    """Look at a run, all at one moment; ``slow``: what was seen of it before."""
    with reads.snapshot(connection):
        [facts] = rows(connection, "run", WatchedRun, _FILE, run=run)
        [money] = rows(connection, "money", WatchedMoney, _FILE, run=run)
        ids = list(slow.budgets)
        return Look(
            facts,
            rows(connection, "tenants", WatchedTenant, _FILE, run=run),
            money,
            rows(connection, "budgets", WatchedBudget, _FILE, budgets=ids) if ids else [],
            rows(connection, "findings", NewFinding, _FILE, run=run, limit=_FINDINGS),
            list(slow.outliers),
        )


def look_slowly(connection: Connection, run: int, name: str, score: float) -> Slow:
    """Find the budgets that a run comes under, and what stands out in it by cost."""
    tenants = values(connection, "tenants", _FILE, run=run)
    budgets = values(connection, "budget_ids", _FILE, run=run, tenants=tenants)
    top = outliers.list_outliers(connection, name, "cost", _OUTLIERS) if score else []
    return Slow(budgets, [one for one in top if one.score is not None and one.score >= score])
