"""The audit: what was submitted to a run, held against what became of it.

The ledger of what was submitted is written at entry and never derived from the items, so an item
that vanished is missed by name. What it cost is summed from every side. Nothing here writes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from papayya_core.store import money
from papayya_core.store.money import Money, Sides
from papayya_core.store.reads import Connection, UnknownRun, find_run, rows, snapshot

__all__ = ["Audit", "Count", "Line", "Lost", "Unexplained", "UnknownRun", "audit"]

STATES = ("completed", "failed", "cancelled", "paused", "waiting", "running", "queued")
_DROPPED = frozenset({"dropped", "expected"})
_BREAKS_THE_LAW = frozenset({"dropped", "expected", "not submitted", "ledger"})
_NOT_READ = "the input was not read to its end"


@dataclass(frozen=True, slots=True)
class Count:
    """Both sides of the conservation law: submitted, and the items in each state."""

    submitted: int
    completed: int
    failed: int
    cancelled: int
    paused: int
    waiting: int
    running: int
    queued: int
    done: int
    flagged: int
    cost_nusd: int

    @property
    def accounted(self) -> int:
        """How many items there are, in whatever state."""
        return sum(getattr(self, state) for state in STATES)

    @property
    def open(self) -> int:
        """How many items have not ended."""
        return self.paused + self.waiting + self.running + self.queued

    @property
    def conserved(self) -> bool:
        """Tell whether as many items are there as were submitted."""
        return self.submitted == self.accounted


@dataclass(frozen=True, slots=True)
class Line(Count):
    """The count of one tenant and agent."""

    tenant: str
    agent: str


@dataclass(frozen=True, slots=True)
class Unexplained:
    """Something that cannot be explained, and the key it is about."""

    kind: str
    tenant: str | None
    agent: str | None
    key: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A delivery without an end: what it had in flight may have been paid once more."""

    tenant: str
    agent: str
    key: str
    locked_by: str
    started_at: datetime
    ended_at: datetime
    fence: int


@dataclass(frozen=True, slots=True)
class _Facts:
    name: str
    sealed: bool
    expect_count: int | None
    expects_keys: bool
    children: int


@dataclass(frozen=True, slots=True)
class Audit:
    """The report on one run. ``sealed``: its input was read to its end.

    ``expected``: how many items the run was told to expect, ``awaited``: keys it was told to
    expect and has not seen yet, while its input is still being read.
    """

    run: str
    sealed: bool
    expected: int | None
    lines: tuple[Line, ...]
    unexplained: tuple[Unexplained, ...]
    awaited: tuple[str, ...]
    lost: tuple[Lost, ...]
    missing: int = 0
    money: tuple[Money, ...] = ()

    @property
    def totals(self) -> Count:
        """The count over all tenants."""
        return _sum(self.lines)

    @property
    def tenants(self) -> dict[str, Count]:
        """The count of each tenant, by name."""
        mine: dict[str, list[Line]] = defaultdict(list)
        for line in self.lines:
            mine[line.tenant].append(line)
        return {tenant: _sum(lines) for tenant, lines in mine.items()}

    @property
    def sides(self) -> Sides:
        """What the run has cost, from every side."""
        return money.add_up(self.money)

    @property
    def conserved(self) -> bool:
        """Tell whether the law holds, for every tenant and key."""
        broken = any(one.kind in _BREAKS_THE_LAW for one in self.unexplained)
        return not broken and all(line.conserved for line in self.lines)

    @property
    def explained(self) -> bool:
        """Tell whether nothing is left unexplained; items may still be open."""
        return self.conserved and not self.unexplained

    @property
    def dropped(self) -> int | None:
        """How many submitted items are gone; None when that cannot be known.

        In a run that is not sealed it is the least number, and None rather than 0.
        """
        gone = sum(one.kind in _DROPPED and one.key is not None for one in self.unexplained)
        gone += self.missing
        return gone if gone or self.sealed else None

    @property
    def dropped_text(self) -> str:
        """Say it in words: ``0 silently dropped``, ``unknown (…)``."""
        if self.dropped is None:
            return f"unknown ({_NOT_READ})"
        least = "" if self.sealed else "at least "
        return f"{least}{self.dropped:,} silently dropped"


def audit(connection: Connection, run_name: str) -> Audit:
    """Audit a run, all at one moment. Raises UnknownRun with near names."""
    with snapshot(connection):
        [facts] = rows(connection, "run_facts", _Facts, run=find_run(connection, run_name))
        lines = tuple(rows(connection, "audit", Line, run=run_name))
        found = rows(connection, "unexplained", Unexplained, run=run_name)
        lost = tuple(rows(connection, "lost_deliveries", Lost, run=run_name))
        sides = money.read_money(connection, run_name)
        wrong = money.read_wrong_budgets(connection)
    awaited = () if facts.sealed else tuple(str(one.key) for one in found if one.kind == "expected")
    unexplained = [one for one in found if facts.sealed or one.kind != "expected"]
    unexplained += [
        Unexplained("money", one.tenant, None, None, what)
        for one in sides
        for what in one.differences()
    ]
    unexplained += [Unexplained("budget", None, None, None, what) for what in wrong]
    missing = _missing(facts, _sum(lines).submitted - facts.children)
    if missing:
        detail = f"{facts.expect_count:,} items were expected, {missing:,} of them never submitted"
        unexplained.append(Unexplained("expected", None, None, None, detail))
    return Audit(
        run=facts.name,
        sealed=facts.sealed,
        expected=facts.expect_count,
        lines=lines,
        unexplained=tuple(unexplained),
        awaited=awaited,
        lost=lost,
        missing=missing,
        money=sides,
    )


def _missing(facts: _Facts, submitted: int) -> int:
    """Count the expected items that never came; expected keys are named one by one instead.

    Items that agents submit while they run (children) are not what was expected.
    """
    if facts.expect_count is None or facts.expects_keys or not facts.sealed:
        return 0
    return max(0, facts.expect_count - submitted)


def _sum(lines: Iterable[Count]) -> Count:
    every = list(lines)
    names = [each.name for each in fields(Count)]
    return Count(**{name: sum(getattr(line, name) for line in every) for name in names})


def as_document(report: Audit) -> dict[str, Any]:
    """Shape the report for ``--json``."""
    agents = defaultdict(list)
    for line in report.lines:
        agents[line.tenant].append({"agent": line.agent, **_counts(line)})
    paid = {one.tenant: one for one in report.money}
    return {
        "run": report.run,
        "sealed": report.sealed,
        "explained": report.explained,
        "conserved": report.conserved,
        "dropped": report.dropped,
        "dropped_text": report.dropped_text,
        "expected": report.expected,
        "awaited": report.awaited,
        "tenants": [
            {
                "tenant": tenant,
                **_counts(count),
                **(_paid(paid[tenant]) if tenant in paid else {}),
                "agents": agents[tenant],
            }
            for tenant, count in report.tenants.items()
        ],
        "totals": _counts(report.totals),
        "unexplained": report.unexplained,
        "lost_deliveries": report.lost,
        "cost_nusd": report.totals.cost_nusd,
        **_paid(report.sides),
    }


def _paid(sides: Sides) -> dict[str, Any]:
    return {each.name: getattr(sides, each.name) for each in fields(Sides)}


def _counts(count: Count) -> dict[str, Any]:
    shown = {each.name: getattr(count, each.name) for each in fields(Count)}
    return shown | {"open": count.open, "conserved": count.conserved}
