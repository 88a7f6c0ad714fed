"""Budgets under many connections at once: nothing is overdrawn, and nobody waits in a circle."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.contract.budgetsql import (
    PRINT,
    admit,
    agreed,
    ask,
    books,
    item_of,
    put_budget,
    remove_budget,
    report,
    set_limit,
    tenant,
    together,
    unpark,
)
from tests.integration.contract.callsql import expire, reconcile, settle
from tests.integration.contract.sql import Contract

Connect = Callable[[str], Contract]
WORKERS = 24  # more than slots


def _items(db: Contract, run: int, count: int) -> list[tuple[int, int]]:
    items = db.items(run, *(f"i{number}" for number in range(count)))
    return [(item, db.fence(item, lease=3600.0)) for item in items]


@pytest.mark.parametrize("settles", [False, True], ids=["held", "settled"])
@pytest.mark.parametrize("cap", [1, 157])
def test_exactly_the_cap(db: Contract, connect: Connect, cap: int, settles: bool) -> None:
    """Of one unit each, exactly as many are granted as there are, by all that ask at once."""
    run = db.start_run()
    wide = put_budget(db, cap + 50, tenant=tenant(db, "acme"))
    narrow = put_budget(db, cap, run=run)
    items = _items(db, run, WORKERS)

    def work(mine: Contract, number: int) -> int:
        for granted in itertools.count():
            found = ask(mine, *items[number], granted + 1, bound=1)
            if found.verdict != "go":
                assert (found.verdict, found.budget) in [("wait", narrow), ("exhausted", narrow)]
                return granted
            if settles:
                settle(mine, found.call_id, cost=1)
        raise AssertionError

    assert sum(together(connect, WORKERS, work)) == cap
    spent = cap if settles else 0
    assert books(db, narrow) == (cap, 0, cap - spent, spent)
    assert books(db, wide) == (cap + 50, 50, cap - spent, spent)
    agreed(db)


def test_never_over(db: Contract, connect: Connect) -> None:
    """Calls of any size that cost no more than their bound leave no budget overdrawn, at any time."""
    run = db.start_run()
    acme = tenant(db, "acme")
    caps = [put_budget(db, 60_000, tenant=acme), put_budget(db, 50_000, run=run)]
    caps += [put_budget(db, 40_000, run=run, agent=db.agent)]
    caps += [put_budget(db, 90_000, tenant=acme, unit="tokens")]
    items = _items(db, run, WORKERS)
    watcher = connect("watcher")

    def work(mine: Contract, number: int) -> int:
        chance, spent, held = random.Random(number), 0, None
        for ordinal in range(1, 61):
            bound = None if chance.random() < 0.05 else chance.randint(1, 3000)
            found = ask(mine, *items[number], ordinal, bound=bound, key_print=PRINT)
            if found.verdict == "go" and held is None and chance.random() < 0.3:
                held = found.call_id, bound  # for a while
                continue
            for call, most in filter(None, [(found.call_id, bound), held]):
                if call is not None:
                    cost = chance.randint(0, most or 0)
                    settle(mine, call, cost=cost, input=chance.randint(0, 100), output=50)
                    spent += cost
            held = None
        if held is not None:
            settle(mine, held[0], "void")
        return spent

    def both(mine: Contract, number: int) -> int:
        if number:
            return work(mine, number)
        least = "SELECT min(x) FROM (SELECT sum(free) FROM papayya.budget_slot GROUP BY budget_id) AS f (x)"
        for _ in range(200):
            assert watcher.one(least) >= 0
        return 0

    spent = sum(together(connect, WORKERS, both))
    assert [books(db, cap).spent for cap in caps[:3]] == [spent] * 3
    assert [books(db, cap).held for cap in caps] == [0] * 4
    assert min(books(db, cap).left for cap in caps) >= 0
    agreed(db)


class Crowd:
    """Workers that do anything to shared tenants, runs, keys, budgets and limits."""

    def __init__(self, db: Contract) -> None:
        self.runs = [db.start_run("r1"), db.start_run("r2")]
        self.tenants = ["acme", "globex", "initech"]
        self.ids = [tenant(db, name) for name in self.tenants]
        self.agent = db.agent
        for who in self.ids:
            put_budget(db, 30_000, tenant=who)
            put_budget(db, 40_000, tenant=who, unit="tokens", period="day")
        for run in self.runs:
            put_budget(db, 50_000, run=run)
            put_budget(db, 45_000, run=run, agent=db.agent)
        set_limit(db, provider="openai", tokens=1e9)
        set_limit(db, tenant="acme", requests=1e6, tokens=1e9)
        pairs = itertools.product(range(2), self.tenants, range(8))
        self.items = [item_of(db, self.runs[run], who, f"{who}{n}") for run, who, n in pairs]

    def work(self, db: Contract, number: int) -> None:
        chance = random.Random(number)
        for turn in range(45):
            name = chance.choice(("calls", "calls", "calls", "reports", "budget", "pump", "doubt"))
            getattr(self, name)(db, chance, f"{number}/{turn}")

    def fences(self, db: Contract, chance: random.Random) -> list[tuple[int, int]]:
        """Take over some items: their calls of before are in doubt."""
        chosen = chance.sample(self.items, 3)
        opened = [(item, db.open(item, takeover=True, max_deliveries=10**6)) for item in chosen]
        return [(item, found.fence) for item, found in opened if found.fence is not None]

    def calls(self, db: Contract, chance: random.Random, label: str) -> None:
        for item, fence in self.fences(db, chance):
            options: dict[str, Any] = {"bound": chance.choice([None, 10, 500, 5000]), "guess": 10}
            options |= {"key_print": chance.choice([None, PRINT]), "enforce": chance.random() < 0.8}
            found = ask(db, item, fence, chance.randint(1, 50), **options)
            if found.call_id is not None and found.body is None and chance.random() < 0.8:
                state = chance.choice(["answered", "answered", "failed", "broken", "uncertain"])
                limits = '[["requests", 100, 10], ["tokens", 1000, 0]]'
                cool: dict[str, Any] = {"limits": limits, "cool": 0.001}
                cool = cool if chance.random() < 0.3 else {}
                settle(db, found.call_id, state, cost=chance.randint(0, 600), **cool)
            elif found.verdict == "exhausted":
                given = {"paused_by": "budget", "budget": found.budget, "wants": found.wants}
                db.release(item, fence, "paused", **given)
            elif found.verdict == "wait":
                due: dict[str, Any] = {"delay": 0.01, "rate": found.rate, "wants": found.wants}
                db.release(item, fence, "waiting", **due)

    def reports(self, db: Contract, chance: random.Random, label: str) -> None:
        fences = self.fences(db, chance)
        chance.shuffle(fences)
        report(db, *((fence, label, chance.randint(0, 90), 7) for _, fence in fences))

    def budget(self, db: Contract, chance: random.Random, label: str) -> None:
        if chance.random() < 0.4:
            found = db.rows("SELECT id FROM papayya.budget")
            remove_budget(db, chance.choice(found)[0])
        account: dict[str, Any] = {"tenant": chance.choice([None, *self.ids])}
        account["run"] = chance.choice([None if account["tenant"] else self.runs[0], *self.runs])
        amount = chance.choice([0, 100, 20_000, 200_000])
        put_budget(db, amount, **account, unit=chance.choice(["usd", "tokens"]))

    def pump(self, db: Contract, chance: random.Random, label: str) -> None:
        unpark(db)
        admit(db)
        db.wake()
        if chance.random() < 0.5:
            db.sweep(f"w{chance.randrange(WORKERS)}", max_deliveries=10**6)
        if chance.random() < 0.2:
            provider = chance.choice([None, "anthropic"])
            set_limit(db, provider=provider, tenant="globex", tokens=1e9)
            set_limit(db, provider=provider, tenant="globex")

    def doubt(self, db: Contract, chance: random.Random, label: str) -> None:
        expire(db, quiet=0.0)
        sql = "SELECT id, state::text FROM papayya.call WHERE state IN ('uncertain', 'broken') LIMIT 5"
        for call, state in db.rows(sql):
            if chance.random() < 0.5:
                reconcile(db, call, 3)
            elif state == "uncertain":
                settle(db, call, cost=7)


@pytest.mark.timeout(120)
def test_nobody_waits_in_a_circle(db: Contract, connect: Connect) -> None:
    """Whatever many workers, people and pumps do at once, no deadlock comes of it, and all sums agree."""
    crowd = Crowd(db)
    together(connect, WORKERS, crowd.work)
    agreed(db)
    for run in ("r1", "r2"):
        sql = "SELECT * FROM papayya.audit_money_v1(%s) WHERE spend_nusd <> calls_nusd + reported_nusd"
        assert db.rows(sql, run) == []
