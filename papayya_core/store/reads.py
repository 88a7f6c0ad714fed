"""What people look at: the rows of reads.sql as small frozen dataclasses, one function each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import class_row

from papayya_core.errors import PapayyaError
from papayya_core.store.sql import statements

Connection = psycopg.Connection[Any]
Row = TypeVar("Row")


class UnknownName(PapayyaError):
    """No such run, tenant, agent or key; the message names near ones."""


class UnknownRun(UnknownName):
    """No such run; the message names near ones."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run with its counts."""

    run: str
    label: str | None
    carrier: str
    state: str
    items: int
    done: int
    flagged: int
    open: int
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
    tenants: int
    cost_nusd: int
    tokens: int
    calls: int
    uncertain_calls: int
    uncertain_nusd: int
    unpriced_calls: int
    unbounded_calls: int
    budget_nusd: int | None
    expect_count: int | None
    draining: bool
    created_at: datetime
    sealed_at: datetime | None
    paused_at: datetime | None
    cancelled_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class TenantRow:
    """What came of one tenant's items."""

    tenant: str
    paused_at: datetime | None
    items: int
    done: int
    flagged: int
    ok: int
    degraded: int
    failed: int
    cancelled: int
    open: int
    cost_nusd: int
    tokens: int
    calls: int
    uncertain_calls: int
    uncertain_nusd: int
    unpriced_calls: int
    unbounded_calls: int

    @property
    def success_rate(self) -> float | None:
        """The share of ok among the items that have an outcome; None when there is none."""
        judged = self.ok + self.degraded + self.failed
        return self.ok / judged if judged else None


@dataclass(frozen=True, slots=True)
class Parking:
    """A budget, in words, and how many items of a run it has parked."""

    budget: str
    items: int


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """A cap of a run, or of one agent within it."""

    agent: str | None
    limit_nusd: int
    spent_nusd: int
    version: int
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Cluster:
    """Findings of one kind, with the newest as an example."""

    check: str
    severity: str
    reason: str
    items: int
    findings: int
    fingerprint: bytes
    sample_key: str | None


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One item as lists show it. ``key`` is as people see it: the second of one is ``key#2``."""

    id: int
    run: str
    tenant: str
    agent: str
    key: str
    state: str
    outcome: str | None
    reason: str | None
    cost_nusd: int
    tokens: int
    steps: int
    calls: int
    uncertain_calls: int
    uncertain_nusd: int
    unpriced_calls: int
    unbounded_calls: int
    deliveries: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    due_at: datetime | None
    paused_by: str | None
    parked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFilter:
    """Which items; None does not narrow. ``after``: older than the item of this id."""

    run: int | None = None
    tenant: int | None = None
    agent: int | None = None
    state: str | None = None
    outcome: str | None = None
    flagged: bool = False
    after: int | None = None


def rows(
    connection: Connection, name: str, kind: type[Row], file: str = "reads.sql", /, **params: object
) -> list[Row]:
    """Run a named statement; its columns are the fields of ``kind``."""
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(statements(file)[name], params).fetchall()


def values(
    connection: Connection, name: str, file: str = "reads.sql", /, **params: object
) -> list[Any]:
    """Run a named statement; return its first column."""
    return [row[0] for row in connection.execute(statements(file)[name], params)]


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """Let all reads of a block see one moment; a transaction that is open already is kept."""
    if connection.info.transaction_status != TransactionStatus.IDLE:
        yield
        return
    with connection.transaction():
        connection.execute(statements("reads.sql")["one_snapshot"])
        yield


def find_run(connection: Connection, name: str) -> int:
    """Return the id of a run. Raises UnknownRun."""
    found = values(connection, "run_id", name=name)
    if found:
        return int(found[0])
    raise UnknownRun(unknown("run", name, values(connection, "run_names"), "papayya runs"))


def find_tenant(connection: Connection, name: str) -> int:
    """Return the id of a tenant. Raises UnknownName."""
    found = values(connection, "tenant_id", name=name)
    if found:
        return int(found[0])
    known = values(connection, "tenant_names")
    raise UnknownName(unknown("tenant", name, known, "papayya tenants"))


def find_agent(connection: Connection, name: str) -> int:
    """Return the id of an agent. Raises UnknownName."""
    found = values(connection, "agent_id", name=name)
    if found:
        return int(found[0])
    raise UnknownName(unknown("agent", name, values(connection, "agent_names"), "papayya items"))


def unknown(what: str, name: str, known: Sequence[str], command: str) -> str:
    """Say that there is no such name; suggest near ones."""
    if not known:
        return f"no {what} {name!r}: there is none yet; run something first"
    near = [one for one in known if name.casefold() in one.casefold()][:3]
    near = near or get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"{command} lists them"
    return f"no {what} {name!r}; {hint}"


def list_runs(
    connection: Connection, *, run: int | None = None, label: str | None = None, limit: int = 20
) -> list[RunRow]:
    """Read the newest runs."""
    return rows(connection, "runs", RunRow, run=run, label=label, limit=limit)


def list_tenants(connection: Connection, run: int | None = None) -> list[TenantRow]:
    """Read what came of each tenant's items, in one run or in all."""
    return rows(connection, "tenants", TenantRow, run=run)


def list_budgets(connection: Connection, run: int) -> list[BudgetRow]:
    """Read the caps of a run."""
    return rows(connection, "budgets", BudgetRow, run=run)


def list_parking(connection: Connection, run: int) -> list[Parking]:
    """Read which budgets have parked items of a run."""
    return rows(connection, "parking", Parking, run=run)


def list_clusters(connection: Connection, run: int, limit: int = 20) -> list[Cluster]:
    """Read what was found in a run, by kind."""
    return rows(connection, "clusters", Cluster, run=run, limit=limit)


def list_items(connection: Connection, wanted: ItemFilter, limit: int) -> list[ItemRow]:
    """Read items, newest first."""
    params = {name: getattr(wanted, name) for name in ItemFilter.__slots__}
    return rows(connection, "items", ItemRow, **params, limit=limit)


def items_of_key(
    connection: Connection, key: str, wanted: ItemFilter, limit: int = 50
) -> tuple[list[ItemRow], list[ItemRow]]:
    """Find a key as people see it: its items, newest first, and others that share the bare key."""
    base, mark, ordinal = key.rpartition("#")
    keys = [key, base] if mark and ordinal.isdecimal() else [key]
    params = {"run": wanted.run, "tenant": wanted.tenant, "agent": wanted.agent, "limit": limit}
    found = rows(connection, "items_of_key", ItemRow, key=key, keys=keys, **params)
    return [i for i in found if i.key == key], [i for i in found if i.key != key]


def near_keys(connection: Connection, key: str) -> list[str]:
    """Suggest keys that begin like one that does not exist."""
    for start in (key, key[: max(1, len(key) * 2 // 3)], key[: max(1, len(key) // 3)]):
        if found := values(connection, "keys_like", start=start):
            return found
    return []
