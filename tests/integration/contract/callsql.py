"""The contract's functions about calls, for tests."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, NamedTuple

from tests.integration.contract.sql import Contract

KEY = b"k" * 16
_UNTOLD = (
    *("headers", "retry_after", "request_id", "error", "first_seconds", "finish"),
    *("answered_by", "response_id", "tool_calls", "source"),
)


class Hold(NamedTuple):
    """What a hold says."""

    verdict: str
    call_id: int | None
    bound_nusd: int | None
    resampled: bool | None
    status: int | None
    headers: Any
    codec: int | None
    body: bytes | None
    near_codec: int | None
    near_body: bytes | None
    unkept: bool | None
    reason: str | None
    budget: int | None
    wants: int | None
    delay: float | None
    rate: int | None
    clamped: int | None


def hold(db: Contract, item: int, fence: int, **options: Any) -> Hold:
    """Hold before a call, or be answered from the journal."""
    request = options.pop("request", b"{}")
    given: dict[str, Any] = {"token": secrets.randbits(62), "n": 0, "scope": b"", "key": KEY}
    given |= {"ordinal": 1, "kind": "llm", "provider": "openai", "schema": "openai.chat"}
    given |= {"url": "api.openai.com/v1/chat/completions", "model": "gpt-x", "streamed": False}
    given |= {"samples": 1, "tools": None, "prompt": 100, "output": 50, "bound": 1000}
    given |= {"unbounded": None, "codec": 0, "size": len(request), "body": request}
    given |= {"hash": hashlib.sha256(request).digest(), "near": True}
    given |= {"key_print": None, "floor": None, "clamp": False, "priced": True, "unpriced": False}
    given |= {"enforce": True, "fact": False, "guess": None, "passes": []}
    return Hold(*db.call("hold", item=item, fence=fence, **(given | options)))


def settle(db: Contract, call: int | None, state: str = "answered", **options: Any) -> Any:
    """Settle a call: verdict, cost, the limit that cools."""
    body = options.pop("answer", b'{"id": "r1"}') if state == "answered" else None
    given: dict[str, Any] = dict.fromkeys(_UNTOLD)
    counts = {"answered": 10, "broken": 5}.get(state)
    given |= dict.fromkeys(
        ("cache_read", "cache_write", "cache_write_1h", "reasoning"), counts and 0
    )
    given |= {"input": counts, "output": counts, "estimated": state == "broken"}
    given |= {"status": 200, "sdk_retries": 0, "seconds": 0.1, "cost": counts and 300}
    given |= {"codec": 0, "size": len(body or b""), "body": body, "limits": None, "cool": None}
    given |= {"hash": hashlib.sha256(body).digest() if body else None}
    return db.call("settle", call=call, state=state, **(given | options))


def calls(db: Contract, item: int, what: str = "state") -> list[Any]:
    """Read columns of an item's calls, in order."""
    rows = db.rows(f"SELECT {what} FROM papayya.call WHERE item_id = %s ORDER BY id", item)
    return [row[0] if len(row) == 1 else row for row in rows]


def expire(db: Contract, quiet: float = 60.0) -> int:
    """Expire the holds of workers that are gone."""
    return int(db.call("expire_holds", quiet=quiet, limit=100)[0])


class Money(NamedTuple):
    """Money of a tenant from every side."""

    tenant: str
    items: int
    calls: int
    reported: int
    spend: int
    made: int
    replayed: int
    saved: int
    unpriced: int
    uncertain: int
    uncertain_nusd: int
    unbounded: int
    pending: int
    pending_nusd: int


def money(db: Contract, run: str = "r") -> Money:
    """Read the money of a run with one tenant; every side must agree."""
    [row] = db.rows("SELECT * FROM papayya.audit_money_v1(%s)", run)
    found = Money(*row)
    assert found.items == found.spend == found.calls + found.reported
    return found


def reconcile(db: Contract, call: int | None, nusd: int) -> str | None:
    """Say by hand what a call cost."""
    found: str | None = db.one("SELECT papayya.reconcile_v1(%s, %s)", call, nusd)
    return found


def left(db: Contract, run: int) -> tuple[int, int, int]:
    """Read the newest budget of a run: what is left, held and spent."""
    sql = "SELECT b.left, held, spent FROM papayya.budget_now b WHERE run_id = %s ORDER BY id DESC LIMIT 1"
    free, held, spent = db.one(sql, run)
    return free, held, spent


def set_budget(db: Contract, usd: float | None = None, **account: Any) -> int:
    """Set a budget by names; return its id."""
    names = ("tenant", "run", "agent", "key", "tokens", "per", "timezone")
    given = {"usd": usd} | {name: account.pop(name, None) for name in names} | account
    given["per"] = given["per"] or "ever"
    sql = (
        "SELECT papayya.set_budget_v1(tenant => %s, run => %s, agent => %s, key => %s, usd => %s,"
        " tokens => %s, per => %s, timezone => %s)"
    )
    order = ("tenant", "run", "agent", "key", "usd", "tokens", "per", "timezone")
    return int(db.one(sql, *(given[name] for name in order)))
