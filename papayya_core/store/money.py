"""What a run has cost, seen from every side: they must agree to the nano-dollar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

from papayya_core.store.reads import Connection, rows, values


@dataclass(frozen=True, slots=True)
class Sides:
    """The sides, and what they do not know.

    ``items_nusd``: of the items' rows · ``calls_nusd``: of calls · ``reported_nusd``: of steps ·
    ``spend_nusd``: the running sum. ``uncertain_nusd`` and ``pending_nusd``: what calls without a
    known end may have cost, and what those under way may cost, at most; ``unbounded_calls`` are not
    in it. ``saved_nusd``: what the replayed calls cost when they were paid.
    """

    items_nusd: int
    calls_nusd: int
    reported_nusd: int
    spend_nusd: int
    calls: int
    replayed_calls: int
    saved_nusd: int
    unpriced_calls: int
    uncertain_calls: int
    uncertain_nusd: int
    unbounded_calls: int
    pending_calls: int
    pending_nusd: int

    def differences(self) -> Iterator[str]:
        """Say which sides do not agree."""
        paid = self.calls_nusd + self.reported_nusd
        if paid != self.items_nusd:
            yield (
                f"calls and reports come to {paid:,} nano-dollars, its items to {self.items_nusd:,}"
            )
        if self.spend_nusd != self.items_nusd:
            yield (
                f"{self.spend_nusd:,} nano-dollars are booked as spent, its items come to"
                f" {self.items_nusd:,}"
            )


@dataclass(frozen=True, slots=True)
class Money(Sides):
    """The sides of one tenant."""

    tenant: str


def read_money(connection: Connection, run: str) -> tuple[Money, ...]:
    """Read what a run has cost, a row per tenant."""
    return tuple(rows(connection, "money", Money, run=run))


def add_up(money: Iterable[Sides]) -> Sides:
    """Sum over tenants."""
    every = list(money)
    names = [each.name for each in fields(Sides)]
    return Sides(**{name: sum(getattr(one, name) for one in every) for name in names})


def read_wrong_budgets(connection: Connection) -> list[str]:
    """Say which budgets have books that do not agree, and why."""
    return [str(text) for text in values(connection, "wrong_budgets")]
