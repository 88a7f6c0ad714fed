"""The contract's functions about budgets and limits, for tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from tests.integration.contract.callsql import Hold, hold
from tests.integration.contract.sql import Contract

PRINT = "a" * 16  # the fingerprint of a provider key


class Books(NamedTuple):
    """A budget in its current window."""

    amount: int
    left: int
    held: int
    spent: int


def books(db: Contract, budget: int) -> Books:
    """Read a budget in its current window."""
    sql = 'SELECT amount, "left", held, spent FROM papayya.budget_now WHERE id = %s'
    return Books(*db.one(sql, budget))


def agreed(db: Contract) -> None:
    """The books of all budgets agree, and nothing but a call without a known end or price holds."""
    assert db.rows("SELECT budget_id, since::text, problem FROM papayya.audit_budgets_v1()") == []
    stray = (
        "SELECT id, state, holds::text FROM papayya.call WHERE holds <> '{}'"
        " AND state NOT IN ('pending', 'uncertain', 'broken') AND NOT estimated AND NOT unpriced"
    )
    assert db.rows(stray) == []


def put_budget(db: Contract, amount: int, **given: Any) -> int:
    """Set a budget by ids, in units: nano-dollars or tokens."""
    names = ("tenant", "run", "agent", "key")
    account = [given.pop(name, None) for name in names]
    options = {"unit": "usd", "period": "ever", "timezone": None} | given
    sql = "SELECT papayya.put_budget_v1(%s, %s, %s, %s, %s, %s, %s, %s)"
    return int(db.one(sql, *account, *options.values(), amount))


def remove_budget(db: Contract, budget: int) -> int | None:
    """Take a budget away."""
    found: int | None = db.one("SELECT papayya.remove_budget_v1(%s)", budget)
    return found


def set_limit(db: Contract, **given: Any) -> int:
    """Set a rate limit by names; 0: there was none to take away."""
    names = ("tenant", "key", "provider", "model", "requests", "tokens", "burst")
    values = [given.get(name) for name in names[:-1]] + [given.get("burst", 6)]
    slots = ", ".join(f"{name} => %s" for name in names)
    return int(db.one(f"SELECT papayya.set_limit_v1({slots})", *values) or 0)


def tenant(db: Contract, name: str) -> int:
    """Return the id of a tenant; it may be new."""
    db.rows("INSERT INTO papayya.tenant (name) VALUES (%s) ON CONFLICT DO NOTHING", name)
    return int(db.one("SELECT id FROM papayya.tenant WHERE name = %s", name))


def item_of(db: Contract, run: int, who: str, key: str) -> int:
    """Submit one item of a tenant."""
    return int(db.capture(run, {"k": key, "t": who})[0][1])


def report(db: Contract, *costs: tuple[int, str, int, int]) -> list[Any]:
    """Write steps of many items in one batch: fence, label, nano-dollars, tokens of each."""
    doc = [
        {"q": seq, "d": fence, "i": 0, "l": label, "h": "", "o": 1, "n": 1, "k": "task"}
        | {"s": "completed", "r": 1, "a": 1, "c": cost, "t": tokens, "m": 0.0}
        for seq, (fence, label, cost, tokens) in enumerate(costs)
    ]
    return db.many("checkpoint", doc=json.dumps(doc), bodies=None, budgeted=True)


def admit(db: Contract, ahead: float = 0.25, limit: int = 500) -> tuple[int, float | None]:
    """Let items in that wait for limits: how many, and when to look again."""
    admitted, again = db.call("admit", ahead=ahead, limit=limit)
    return admitted, again


def unpark(db: Contract, limit: int = 500) -> int:
    """Let items go on whose budget has room."""
    return int(db.call("unpark", limit=limit)[0])


def park(db: Contract, item: int, fence: int, found: Hold) -> None:
    """Leave an item at what refused its call, as the engine does."""
    if found.verdict == "exhausted":
        options: dict[str, Any] = {"paused_by": "budget", "budget": found.budget}
        db.release(item, fence, "paused", wants=found.wants, **options)
    else:
        options = {"delay": found.delay, "rate": found.rate, "wants": found.wants}
        db.release(item, fence, "waiting", **options)


def ask(db: Contract, item: int, fence: int, ordinal: int, **options: Any) -> Hold:
    """Hold for a question that was not asked before."""
    return hold(db, item, fence, ordinal=ordinal, near=False, **options)


def together(
    connect: Callable[[str], Contract], count: int, work: Callable[[Contract, int], Any]
) -> list[Any]:
    """Let many connections work at once; a deadlock shows soon, and fails."""
    workers = [connect(f"w{number}") for number in range(count)]
    start = threading.Barrier(count)

    def one(number: int) -> Any:
        workers[number].rows("SET deadlock_timeout = '50ms'")
        start.wait(30)
        return work(workers[number], number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def total(values: Iterable[int | None]) -> int:
    """Add up; None is nothing."""
    return sum(value or 0 for value in values)
