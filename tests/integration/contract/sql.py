"""The functions of the contract as calls, for tests: no store, no engine, no pool."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any, NamedTuple

import psycopg

from papayya_core.store.sql import statements


class Open(NamedTuple):
    """What open says."""

    verdict: str
    fence: int | None
    until: Any
    reason: str | None
    known: Any
    delivery: int | None
    left_nusd: int | None
    began: Any
    clock: Any
    told: bool | None
    passes: list[int] | None
    spent_nusd: int | None


class Sent(NamedTuple):
    """What is claimed to be sent again."""

    item_id: int
    item_key: str
    run_name: str
    carrier: str
    agent_name: str
    tenant_name: str
    dispatch_no: int
    envelope_hash: bytes | None
    sends: int
    parked: float
    item_digest: bytes | None
    codec: int | None
    envelope: bytes | None
    ended: bool
    overtaken: bool


class Contract:
    """One connection of one worker; ``owner`` is what its leases say."""

    def __init__(self, dsn: str, owner: str = "w1") -> None:
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.owner = owner
        self.agent, self.version = self.call(
            "register_agent",
            name="tag",
            version="v1",
            entrypoint=None,
            model=None,
            instructions=None,
            tools="[]",
            max_steps=None,
            max_seconds=None,
            budget_nusd=None,
        )

    def rows(self, sql: str, *values: object) -> list[Any]:
        """Run any SQL."""
        cursor = self.connection.execute(sql.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def one(self, sql: str, *values: object) -> Any:
        """Read the only row; of one column, its value."""
        [row] = self.rows(sql, *values)
        return row[0] if len(row) == 1 else row

    def many(self, statement: str, /, **params: Any) -> list[Any]:
        """Run a named statement."""
        return self.connection.execute(statements()[statement], params).fetchall()

    def call(self, statement: str, /, **params: Any) -> Any:
        """Run a named statement that returns one row."""
        [row] = self.many(statement, **params)
        return row

    def start_run(self, name: str = "r", *, budget: int | None = None, **options: Any) -> int:
        """Make a run, or go on with it; return its id."""
        given = {"label": None, "carrier": "test", "expect_count": None, "expect_keys": None}
        row = self.call("start_run", name=name, budget_nusd=budget, **(given | options))
        return int(row[0])

    def capture(self, run: int, *items: dict[str, Any] | str) -> list[Any]:
        """Submit items: seq, id, key, ordinal, state, fresh of each. An item is a key or a dict."""
        doc = [
            {"s": seq, "t": "acme", "k": one, "g": "00"}
            if isinstance(one, str)
            else {"s": seq, "t": "acme", "g": "00", **one}
            for seq, one in enumerate(items)
        ]
        found = self.many(
            "capture",
            run=run,
            agent=self.agent,
            source=self.owner,
            doc=json.dumps(doc),
            bodies=None,
        )
        return sorted(row[:6] for row in found)

    def items(self, run: int, *keys: str) -> list[int]:
        """Submit items by key; return their ids."""
        return [row[1] for row in self.capture(run, *keys)]

    def publish(self, *messages: dict[str, Any] | str, run: str = "r", **options: Any) -> list[Any]:
        """Submit messages: seq, id, key, ordinal, state, fresh of each. Each is a key or a dict."""
        whole: list[dict[str, Any]] = [{"k": m} if isinstance(m, str) else m for m in messages]
        doc = [
            {"s": seq, "t": "acme", "g": "00", "e": _hash(one["k"]).hex(), "n": 0, "y": 3, **one}
            for seq, one in enumerate(whole)
        ]
        given = {"label": "l", "seal": True, "carrier": "test", "agent": "tag", "resend": 60.0}
        params = given | {"run": run, "source": self.owner, "doc": json.dumps(doc), "bodies": None}
        params["envelopes"] = [f"<{one['k']}>".encode() for one in whole]
        return [row[:6] for row in self.many("publish", **(params | options))]

    def publish_one(self, key: str, **options: Any) -> tuple[int, int, str, bool]:
        """Submit one message by itself: id, ordinal, state, fresh."""
        given: dict[str, Any] = {"run": "r", "label": "l", "seal": True, "carrier": "test"}
        given |= {"agent": "tag", "source": self.owner, "resend": 60.0, "tenant": "acme"}
        given |= {"key": key, "digest": b"\0", "parent": None, "hash": None, "codec": None}
        given |= {"size": None, "body": None, "envelope_hash": _hash(key), "envelope_codec": 0}
        given |= {"envelope_size": 3, "envelope": f"<{key}>".encode(), "cohort": None}
        given |= {"place": None, "follows": None, "again": False}
        sql = statements()["publish_one"]
        [row] = self.connection.execute(sql, list((given | options).values())).fetchall()
        item, ordinal, state, fresh, _ = row
        return item, ordinal, state, fresh

    def hand_over(self, item: int, fence: int, body: bytes = b"<again>", **options: Any) -> Any:
        """Send the item in hand again: verdict, number of the envelope."""
        given: dict[str, Any] = {"reason": "retry", "delay": 0.0, "resend": 60.0, "codec": 0}
        given |= {"size": len(body), "body": body, "hash": hashlib.sha256(body).digest()}
        given |= {"findings": "[]", "cost_nusd": 0, "tokens": 0}
        return self.call("hand_over", item=item, fence=fence, **(given | options))

    def stuck(self, quiet: float = 30.0) -> list[str]:
        """Name the cohorts that nothing followed."""
        found = self.many("stuck_cohorts", carriers=["test"], quiet=quiet, limit=10)
        return [row[1] for row in found]

    def fact(self, item: int, what: str) -> Any:
        """Read columns of an item."""
        return self.one(f"SELECT {what} FROM papayya.item WHERE id = %s", item)

    def open(self, item: int, **options: Any) -> Open:
        """Lease an item."""
        params = {
            "lane": "",
            "owner": self.owner,
            "lease": 60.0,
            "version": self.version,
            "max_seconds": None,
            "max_deliveries": 5,
            "dispatch_no": None,
            "takeover": False,
            "token": secrets.randbits(62),
            "enforce": True,
            "digest": None,
        }
        return Open(*self.call("open", item=item, **(params | options)))

    def fence(self, item: int, **options: Any) -> int:
        """Lease an item that is free; return the fence."""
        opened = self.open(item, **options)
        assert opened.verdict == "go", opened
        assert opened.fence is not None
        return opened.fence

    def checkpoint(self, fence: int, label: str = "s", **options: Any) -> Any:
        """Write one step: verdict, stored, left. ``result`` is any JSON value."""
        row = {
            "q": 0,
            "d": fence,
            "l": label,
            "h": options.get("args", b"").hex(),
            "o": options.get("ordinal", 1),
            "n": options.get("n", 1),
            "k": "task",
            "s": options.get("state", "completed"),
            "r": options.get("result", 1),
            "a": options.get("attempts", 1),
            "c": options.get("cost", 0),
            "t": options.get("tokens", 0),
            "m": 0.0,
        }
        item = self.rows("SELECT item_id FROM papayya.dispatch WHERE id = %s", fence)
        row["i"] = item[0][0] if item else 0
        doc = json.dumps([row])
        answer = self.call(
            "checkpoint", doc=doc, bodies=None, budgeted=options.get("budgeted", False)
        )
        return answer[1:]

    def close(self, item: int, fence: int, state: str = "completed", **options: Any) -> Any:
        """End an item: verdict, outcome, cost."""
        params: dict[str, Any] = {"reason": None, "hash": None, "codec": None, "size": None}
        params |= {"body": None, "findings": "[]", "cost_nusd": 0, "tokens": 0, "tell": None}
        return self.call("close", item=item, fence=fence, state=state, **(params | options))

    def release(self, item: int, fence: int, state: str, **options: Any) -> str:
        """End a dispatch; return the verdict."""
        params: dict[str, Any] = {"reason": state, "delay": 0.0, "findings": "[]"}
        params |= {"cost_nusd": 0, "tokens": 0, "lost": False, "paused_by": None}
        params |= {"budget": None, "rate": None, "wants": None, "passes": None}
        return str(
            self.call("release", item=item, fence=fence, state=state, **(params | options))[0]
        )

    def sweep(
        self, *dead: str, max_deliveries: int = 5, fences: list[int] | None = None
    ) -> list[Any]:
        """End the dispatches of lost workers: id, key, run, owner, state, reason of each item."""
        params = {"dead": list(dead), "max_deliveries": max_deliveries, "limit": 500}
        params["fences"] = fences
        return self.many("sweep", silent=True, **params)

    def beat(self) -> int:
        """Renew this worker's leases; return how many."""
        return int(self.call("heartbeat", owners=[self.owner], lease=60.0)[0])

    def wake(self) -> int:
        """Queue what is due."""
        return int(self.call("wake", limit=500)[0])

    def sends(self, backoff: float = 60.0) -> list[Sent]:
        """Claim what is to be sent again."""
        rows = self.many("claim_sends", carriers=["test"], backoff=backoff, limit=500)
        return [Sent(*row) for row in rows]

    def retry(self, run: str | None = "r", items: list[int] | None = None) -> list[int]:
        """Queue failed items."""
        return [
            row[0] for row in self.rows("SELECT papayya.retry_v1(%s, %s::bigint[])", run, items)
        ]

    def pause(
        self, run: str | None = None, tenant: str | None = None, items: list[int] | None = None
    ) -> list[int]:
        """Pause a run, a tenant or items by hand; return the items touched now."""
        sql = "SELECT papayya.pause_v1(%s, %s, %s::bigint[])"
        return sorted(row[0] for row in self.rows(sql, run, tenant, items))

    def resume(
        self, run: str | None = None, tenant: str | None = None, items: list[int] | None = None
    ) -> list[int]:
        """Go on with a run, a tenant or items; return the items touched now."""
        sql = "SELECT papayya.resume_v1(%s, %s, %s::bigint[])"
        return sorted(row[0] for row in self.rows(sql, run, tenant, items))

    def cancel(self, run: str | None = "r", items: list[int] | None = None) -> list[int]:
        """Cancel a run, or items."""
        sql = "SELECT papayya.cancel_v1(%s, %s::bigint[], 'enough')"
        return [row[0] for row in self.rows(sql, run, items)]

    def state(self, item: int) -> str:
        """Read the state of an item."""
        return str(self.one("SELECT state::text FROM papayya.item WHERE id = %s", item))

    def unexplained(self, run: str = "r") -> list[Any]:
        """List what the audit cannot explain."""
        return self.rows("SELECT * FROM papayya.unexplained_v1(%s)", run)


def _hash(key: str) -> bytes:
    return hashlib.sha256(f"<{key}>".encode()).digest()


def finding(severity: str, check: str = "c") -> str:
    """Build a document of one finding."""
    one = {"check": check, "severity": severity, "reason": check, "fingerprint": "00"}
    return json.dumps([one])
