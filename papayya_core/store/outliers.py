"""What stands out in a run, and how it is stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from papayya_core.store.reads import Connection, rows, values
from papayya_core.store.sql import statements

_FILE = "outliers.sql"
Measure = Literal["cost", "tokens", "calls", "seconds"]


@dataclass(frozen=True, slots=True)
class OutlierRow:
    """One item and how far it is from the norm of its run.

    ``value``, ``median`` and ``mad``: of the measure that was asked for, cost in nano-dollars;
    ``items``: how many the norm is made of. ``score``: None where there is no norm.
    """

    id: int
    key: str
    tenant: str
    agent: str
    state: str
    outcome: str | None
    reason: str | None
    value: float
    score: float | None
    items: int
    median: float | None
    mad: float | None
    cost_nusd: int
    tokens: int
    calls: int
    seconds: float | None


class Whose(NamedTuple):
    """Which item has an id."""

    id: int
    run: str
    key: str
    state: str


def list_outliers(connection: Connection, run: str, by: Measure, limit: int) -> list[OutlierRow]:
    """Rank the items of a run by a measure, those under way included; the largest first."""
    return rows(connection, "outliers", OutlierRow, _FILE, run=run, by=by, limit=limit)


def find_item(connection: Connection, item: int) -> Whose | None:
    """Find an item by its id."""
    found = connection.execute(statements(_FILE)["item_of_id"], {"item": item}).fetchone()
    return None if found is None else Whose(*found)


def kill_tenant(connection: Connection, tenant: str, run: str | None, reason: str) -> int:
    """Cancel the open items of a tenant, in one run or in all; return how many."""
    return len(values(connection, "kill_open", _FILE, tenant=tenant, run=run, reason=reason))
