"""Budgets under any sequence of holds, ends, reports, changes and days: as a simple model says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

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
from tests.integration.contract.budgetsql import (
    PRINT,
    agreed,
    ask,
    item_of,
    put_budget,
    remove_budget,
    report,
    tenant,
)
from tests.integration.contract.callsql import reconcile, settle
from tests.integration.contract.sql import Contract

CLEAR = (
    "TRUNCATE papayya.item, papayya.dispatch, papayya.step, papayya.intake, papayya.budget,"
    " papayya.budget_slot, papayya.run, papayya.call, papayya.spend, papayya.provider_key CASCADE"
)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland")
START = datetime(2025, 3, 29, 21, 30, tzinfo=UTC)  # both a month and the time of summer begin soon
EVER = datetime.min.replace(tzinfo=UTC)
PROMPT, OUTPUT, LEAST = 100, 50, 16  # tokens; providers refuse to write less
LATE = ("answered", "failed", "void", "broken")
TOKENS = {"answered": 20, "broken": 10}
LONG = 1e9


@dataclass
class Budget:
    """A cap as it is now."""

    account: dict[str, int]
    unit: str
    period: str
    zone: str
    amount: int

    def since(self, at: datetime) -> datetime:
        """Return when the window began that a moment lies in."""
        if self.period == "ever":
            return EVER
        local = at.astimezone(ZoneInfo(self.zone)).replace(hour=0, minute=0, second=0)
        return local.replace(day=1 if self.period == "month" else local.day).astimezone(UTC)


@dataclass
class Call:
    """A call, what it may cost, has cost and holds."""

    account: dict[str, int]
    fence: int
    at: datetime
    bound: int | None
    most: int
    holds: dict[tuple[int, datetime], int]
    state: str = "pending"
    cost: int | None = None
    tokens: int = 0
    reconciled: bool = False

    @property
    def open(self) -> bool:
        """Tell whether it may cost more than is known."""
        known = self.state in ("answered", "broken", "uncertain") and self.bound != 0
        return self.state == "pending" or known


class Spent(NamedTuple):
    """What was reported beside calls."""

    account: dict[str, int]
    at: datetime
    usd: int
    tokens: int


@dataclass
class Model:
    """Budgets and what was spent, in plain words."""

    budgets: dict[int, Budget] = field(default_factory=dict)
    calls: dict[int, Call] = field(default_factory=dict)
    reports: list[Spent] = field(default_factory=list)

    def applying(self, account: dict[str, int]) -> Iterator[tuple[int, Budget]]:
        """List the budgets that apply, in the order of their ids."""
        for key, budget in sorted(self.budgets.items()):
            if budget.account.items() <= account.items():
                yield key, budget

    def spent(self, key: int, at: datetime) -> int:
        """Add up what was spent in the window of a moment."""
        b = self.budgets[key]
        since, usd = b.since(at), b.unit == "usd"
        paid = [(c.account, c.at, (c.cost or 0) if usd else c.tokens) for c in self.calls.values()]
        paid += [(r.account, r.at, r.usd if usd else r.tokens) for r in self.reports]
        return sum(
            x
            for who, when, x in paid
            if b.account.items() <= who.items() and b.since(when) == since
        )

    def held(self, key: int, at: datetime, *states: str) -> int:
        """Add up what is held in the window of a moment."""
        slot = (key, self.budgets[key].since(at))
        return sum(
            c.holds.get(slot, 0) for c in self.calls.values() if not states or c.state in states
        )

    def left(self, key: int, at: datetime) -> int:
        """Say what is left, or by how much it is overdrawn."""
        return self.budgets[key].amount - self.spent(key, at) - self.held(key, at)

    def clamp(self, call: Call, floor: int | None) -> int | None:
        """Lower the output of a call to what is left; return it where it was lowered."""
        fits = OUTPUT
        for key, budget in self.applying(call.account):
            left = self.left(key, call.at)
            need = call.most if budget.unit == "tokens" else call.bound
            if need is not None and left < need and self.held(key, call.at, "pending") > 0:
                return None  # it may come back
            if budget.unit == "tokens":
                fits = min(fits, left - PROMPT)
            elif call.bound is not None and floor is not None and call.bound > floor:
                fits = min(fits, int((left - floor) * OUTPUT / (call.bound - floor)) - 1)
        if not LEAST <= fits < OUTPUT:
            return None
        if call.bound is not None and floor is not None:
            call.bound = min(call.bound, floor - (-(call.bound - floor) * fits // OUTPUT))
        call.most = PROMPT + fits
        return fits

    def hold(self, call: Call, *, free: bool, forced: bool, clamp: bool) -> str:
        """Hold on all budgets, or say why not. free: it has no price, and may go without one."""
        holds: dict[tuple[int, datetime], int] = {}
        for key, budget in self.applying(call.account):
            need = call.most if budget.unit == "tokens" else 0 if free else call.bound
            left, pending = self.left(key, call.at), self.held(key, call.at, "pending")
            least = 1 if need is None else need
            if left >= least and (need is not None or pending == 0):
                holds[key, budget.since(call.at)] = left if need is None else need
            elif forced:
                holds[key, budget.since(call.at)] = need or 0
            else:
                waits = left + pending >= least or (clamp and pending > 0)
                return "wait" if waits else "exhausted"
        call.holds = holds
        return "go"

    def settle(self, call: Call, state: str, cost: int | None) -> None:
        """End a call, or learn late how it ended."""
        if call.state != "pending" and not (call.state == "uncertain" and state in LATE):
            return
        call.state, call.tokens = state, TOKENS.get(state, 0)
        call.cost = cost if state in TOKENS else 0
        call.reconciled = False
        unknown = state in ("uncertain", "broken")
        kept = {}
        for (key, since), amount in call.holds.items():
            usd = key in self.budgets and self.budgets[key].unit == "usd"
            rest = amount - ((call.cost or 0) if usd else call.tokens)
            if rest > 0 and (unknown or (usd and call.cost is None)):
                kept[key, since] = rest
        call.holds = kept
        if state == "broken" and call.bound is not None:
            call.bound = max(call.bound - (call.cost or 0), 0)
        elif state not in ("uncertain", "broken"):
            call.bound = 0

    def note(self, key: int, at: datetime) -> None:
        """Let calls under way hold on a budget whose window is new."""
        budget = self.budgets[key]
        since = budget.since(at)
        for call in self.calls.values():
            may = call.bound if budget.unit == "usd" else call.most - call.tokens
            mine = budget.account.items() <= call.account.items() and budget.since(call.at) == since
            if mine and call.open and may and may > 0:
                call.holds.setdefault((key, since), may)


class Machine(RuleBasedStateMachine):
    """Two tenants in two runs, with and without a key, and a clock that crosses midnights."""

    db: Contract
    other: Contract
    clock: Clock

    def __init__(self) -> None:
        super().__init__()
        self.db.rows(CLEAR)
        self.now = self.clock.freeze(START)
        self.model = Model()
        self.count = 0

    @initialize()
    def begin(self) -> None:
        self.tenants = {name: tenant(self.db, name) for name in ("acme", "globex")}
        self.runs = [self.db.start_run("r1"), self.db.start_run("r2")]
        self.key = self.db.one("SELECT papayya.key_v1('openai', %s)", PRINT)
        self.items: list[tuple[int, dict[str, int]]] = []
        for run in self.runs:
            for name, who in self.tenants.items():
                item = item_of(self.db, run, name, name)
                self.items.append((item, {"tenant": who, "run": run, "agent": self.db.agent}))
        self.fences = [self.db.fence(item, lease=LONG) for item, _ in self.items]

    def accounts(self) -> list[dict[str, int]]:
        acme, [one, two] = self.tenants["acme"], self.runs
        agent, key = self.db.agent, self.key
        return [
            *({"tenant": acme}, {"run": one}, {"agent": agent}, {"agent": agent, "run": one}),
            *({"key": key}, {"tenant": acme, "key": key}, {"tenant": acme, "run": two}),
        ]

    @rule(data=st.data())
    def turn(self, data: st.DataObject) -> None:
        names = (
            *["hold"] * 5,
            *["settle"] * 5,
            "budget",
            "budget",
            "report",
            "time",
            "gone",
            "person",
        )
        getattr(self, data.draw(st.sampled_from(names)))(data.draw)

    def hold(self, draw: Any) -> None:
        which = draw(st.integers(0, 3))
        item, account = self.items[which]
        if draw(st.booleans()):
            account = account | {"key": self.key}
        bound = draw(st.sampled_from([None, None, 1, 40, 300, 1000]))
        priced, unpriced = draw(st.booleans()), draw(st.booleans())
        forced, clamp = draw(st.integers(0, 5)) == 0, draw(st.booleans())
        floor = None if bound is None else bound // 3
        call = Call(account, self.fences[which], self.now, bound, PROMPT + OUTPUT, {})
        usd = any(budget.unit == "usd" for _, budget in self.model.applying(account))
        free = bound is None and not priced and usd
        if free and not forced and not unpriced:
            expected, clamped = "unpriced", None
        else:
            clamped = self.model.clamp(call, floor) if clamp else None
            expected = self.model.hold(call, free=free, forced=forced, clamp=clamp)
        self.count += 1
        given: dict[str, Any] = {"bound": bound, "floor": floor, "clamp": clamp, "priced": priced}
        given |= {"unpriced": unpriced, "enforce": not forced, "prompt": PROMPT, "output": OUTPUT}
        given |= {"key_print": PRINT if "key" in account else None}
        if draw(st.integers(0, 9)) == 0:
            self.crash(item, call.fence, given)
        found = ask(self.db, item, call.fence, self.count, **given)
        assert found.verdict == expected
        if expected == "go":
            assert found.clamped == clamped
            assert found.call_id is not None
            self.model.calls[found.call_id] = call

    def crash(self, item: int, fence: int, given: dict[str, Any]) -> None:
        """A hold whose transaction is not committed has not been."""
        with self.other.connection.transaction(force_rollback=True):
            ask(self.other, item, fence, self.count, **given)

    def settle(self, draw: Any) -> None:
        if self.model.calls:
            newest = sorted(self.model.calls, reverse=True)[:8]
            number = draw(st.sampled_from(newest))
            state = draw(st.sampled_from([*LATE, "answered", "answered", "uncertain"]))
            cost = draw(st.sampled_from([None, 0, 1, 30, 30, 250, 2000]))
            for _ in range(draw(st.integers(1, 2))):
                settle(self.db, number, state, cost=cost if state in TOKENS else None)
            self.model.settle(self.model.calls[number], state, cost)

    def budget(self, draw: Any) -> None:
        account = draw(st.sampled_from(self.accounts()))
        unit, period = (
            draw(st.sampled_from(["usd", "usd", "tokens"])),
            draw(st.sampled_from(["ever", "day", "month"])),
        )
        zone, amount = (
            draw(st.sampled_from(ZONES)),
            draw(st.sampled_from([0, 150, 400, 1500, 5000])),
        )
        given = [
            key
            for key, b in self.model.budgets.items()
            if (b.account, b.unit, b.period) == (account, unit, period)
        ]
        if given and draw(st.integers(0, 3)) == 0:
            assert remove_budget(self.db, given[0]) == given[0]
            assert remove_budget(self.db, given[0]) is None
            del self.model.budgets[given[0]]
            return
        options: dict[str, Any] = {"unit": unit, "period": period, "timezone": zone}
        made = put_budget(self.db, amount, **account, **options)
        assert put_budget(self.db, amount, **account, **options) == made
        before = self.model.budgets.get(made)
        self.model.budgets[made] = Budget(account, unit, period, zone, amount)
        if before is None or before.zone != zone:
            self.model.note(made, self.now)

    def report(self, draw: Any) -> None:
        chosen = draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
        self.count += 1
        rows = []
        for seq, which in enumerate(chosen):
            usd, tokens = draw(st.sampled_from([0, 5, 120])), draw(st.sampled_from([0, 60]))
            rows.append((self.fences[which], f"{self.count}/{seq}", usd, tokens))
            self.model.reports.append(Spent(self.items[which][1], self.now, usd, tokens))
        report(self.db, *rows)

    def time(self, draw: Any) -> None:
        hours = draw(st.sampled_from([0.5, 1.0, 2.0, 5.0, 24.0]))
        self.now = self.clock.freeze(self.now + timedelta(hours=hours))

    def gone(self, draw: Any) -> None:
        """Another worker takes an item over: nobody knows what became of its calls."""
        which = draw(st.integers(0, 3))
        for call in self.model.calls.values():
            if call.fence == self.fences[which] and call.state == "pending":
                call.state, call.cost = "uncertain", 0
        opened = self.other.open(
            self.items[which][0], takeover=True, lease=LONG, enforce=False, max_deliveries=10**6
        )
        assert opened.fence is not None
        self.fences[which] = opened.fence

    def person(self, draw: Any) -> None:
        """Somebody says what a call cost."""
        for number, call in self.model.calls.items():
            doubtful = call.state in ("uncertain", "broken")
            unknown = call.state == "answered" and (call.cost is None or call.reconciled)
            if draw(st.booleans()):
                expected = call.state if doubtful or unknown else None
                assert reconcile(self.db, number, 11) == expected
                if expected:
                    call.cost, call.holds, call.bound, call.reconciled = 11, {}, 0, True

    @invariant()
    def agrees(self) -> None:
        agreed(self.db)
        sql = 'SELECT id, amount, "left", held, spent FROM papayya.budget_now ORDER BY id'
        expected = [
            (
                key,
                budget.amount,
                self.model.left(key, self.now),
                self.model.held(key, self.now),
                self.model.spent(key, self.now),
            )
            for key, budget in sorted(self.model.budgets.items())
        ]
        assert self.db.rows(sql) == expected


@pytest.mark.timeout(300)  # half a minute on a quiet machine
def test_any_sequence(db: Contract, papayya_database: str, papayya_clock: Clock) -> None:
    """Whatever happens in whatever order, verdicts, holds and sums are those of the model."""

    class Bound(Machine):
        pass

    Bound.db, Bound.clock = db, papayya_clock
    Bound.other = Contract(papayya_database, "w2")
    try:
        run_state_machine_as_test(
            Bound,
            settings=settings(
                max_examples=30,
                stateful_step_count=40,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        Bound.other.connection.close()
