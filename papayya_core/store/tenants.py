"""Tenants as they are now, and their weights."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from papayya_core import rules
from papayya_core.store.reads import Connection, rows, values

_FILE = "limits.sql"


@dataclass(frozen=True, slots=True)
class TenantNow:
    """One tenant: money, how its items went in the last day, and who of them waits for what.

    ``left_nusd``: under the tightest of its own budgets in money; None without one. ``throttled``:
    items that wait for a limit; ``starved``: they do while the limit lets others in. ``p95_wait``:
    seconds that 95 of 100 items of the last day waited for limits at most.
    """

    id: int
    tenant: str
    weight: Decimal
    paused_at: datetime | None
    cost_nusd: int
    tokens: int
    calls: int
    unpriced_calls: int
    uncertain_calls: int
    uncertain_nusd: int
    unbounded_calls: int
    held_nusd: int
    left_nusd: int | None
    queued: int
    running: int
    paused: int
    waiting: int
    throttled: int
    waiting_since: datetime | None
    starved: bool
    ok: int
    degraded: int
    failed: int
    success_rate: float | None
    p95_wait: float | None


def tenants_now(connection: Connection) -> list[TenantNow]:
    """Read all tenants, the starved first."""
    return rows(connection, "tenants_now", TenantNow, _FILE)


def set_weight(connection: Connection, tenant: str, weight: Decimal) -> Decimal | None:
    """Set a tenant's weight; return what it was, None when the tenant is new."""
    rules.check_name(tenant, "a tenant")
    with connection.transaction():
        before = values(connection, "weight", _FILE, tenant=tenant)
        values(connection, "set_weight", _FILE, tenant=tenant, weight=weight)
    return before[0] if before else None
