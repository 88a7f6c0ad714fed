"""Ways to keep a cap in Postgres: none, a look before, one hot row under its lock, and Papayya."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

import psycopg
from psycopg.types.numeric import Int8Dumper

from papayya_core import migrate
from papayya_core.store.sql import statements
from tests.benchmarks.holds_crowd import Worker

MOST = 150_000_000  # nano-dollars that a call may cost
_TOKENS = ("cache_read", "cache_write", "cache_write_1h", "reasoning")


class Way(Protocol):
    """One way; ``set_up`` makes its tables, ``begin`` empties them and sets caps (nano-dollars)."""

    @property
    def name(self) -> str: ...

    def set_up(self) -> None: ...

    def begin(self, accounts: int, workers: int, cap: int) -> None: ...

    def hire(self, n: int) -> Worker: ...

    def held(self) -> tuple[int, int]: ...


class _Tables:
    """A way with tables of its own."""

    name: ClassVar[str]
    schema: ClassVar[str]

    def __init__(self, url: str) -> None:
        self.url = url
        self.accounts = 1

    def set_up(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute(self.schema.encode())

    def begin(self, accounts: int, workers: int, cap: int) -> None:
        self.accounts = accounts
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute("TRUNCATE account, ledger")
            conn.execute(
                "INSERT INTO account SELECT n, %s, 0, 0 FROM generate_series(1, %s) AS n",
                [cap, accounts],
            )
            conn.execute("ANALYZE account")

    def held(self) -> tuple[int, int]:
        """Say what is held in all, and how many rows tell by whom."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            held = conn.execute("SELECT sum(held)::bigint FROM account").fetchone()
            rows = conn.execute("SELECT count(*) FROM ledger WHERE nusd IS NULL").fetchone()
        return (held or (0,))[0], (rows or (0,))[0]


class _Own:
    """A worker with a connection, and an account at random each time."""

    def __init__(self, way: Any, n: int) -> None:
        self.way = way
        self.conn = psycopg.connect(way.url, autocommit=True)
        self.conn.prepare_threshold = 0
        self.conn.adapters.register_dumper(int, Int8Dumper)  # one prepared statement for all values
        self.dice = random.Random(n)

    def account(self) -> int:
        return self.dice.randint(1, self.way.accounts)

    def one(self, statement: str, *params: Any) -> Any:
        return self.conn.execute(statement.encode(), params).fetchone()

    def close(self) -> None:
        self.conn.close()


_SCHEMA = """
CREATE TABLE account (id int PRIMARY KEY, cap bigint NOT NULL, spent bigint NOT NULL, held bigint NOT NULL)
    WITH (fillfactor = 30);
CREATE TABLE ledger (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account int NOT NULL, most bigint NOT NULL,
                     nusd bigint, at timestamptz NOT NULL DEFAULT now());
"""


class Floor(_Tables):
    """No cap at all: a row before, and a row after."""

    name = "bare INSERTs"
    schema = _SCHEMA

    def hire(self, n: int) -> Worker:
        return _FloorWorker(self, n)


class _FloorWorker(_Own):
    def hold(self) -> Any:
        self.conn.execute(
            "INSERT INTO ledger (account, most) VALUES (%s, %s)", (self.account(), MOST)
        )
        return True

    def settle(self, handle: Any, nusd: int) -> None:
        self.conn.execute(
            "INSERT INTO ledger (account, most, nusd) VALUES (%s, %s, %s)", (1, MOST, nusd)
        )


class SumThenInsert(_Tables):
    """Look at the sum of what was spent; write what the call cost when it is known."""

    name = "sum, then INSERT"
    schema = _SCHEMA + "CREATE INDEX ON ledger (account) INCLUDE (nusd);"

    def hire(self, n: int) -> Worker:
        return _SumWorker(self, n)


class _SumWorker(_Own):
    def hold(self) -> Any:
        account = self.account()
        found = self.one(
            "SELECT a.id FROM account a WHERE a.id = %s"
            " AND a.cap > (SELECT coalesce(sum(l.nusd), 0) FROM ledger l WHERE l.account = a.id)",
            account,
        )
        return account if found else None

    def settle(self, handle: Any, nusd: int) -> None:
        self.conn.execute(
            "INSERT INTO ledger (account, most, nusd) VALUES (%s, %s, %s)", (handle, MOST, nusd)
        )


class LookThenAdd(_Tables):
    """Look at a counter; write what the call cost when it is known, and add it to the counter."""

    name = "look, then add"
    schema = _SCHEMA

    def hire(self, n: int) -> Worker:
        return _LookWorker(self, n)


class _LookWorker(_Own):
    def hold(self) -> Any:
        account = self.account()
        found = self.one("SELECT id FROM account WHERE id = %s AND spent < cap", account)
        return account if found else None

    def settle(self, handle: Any, nusd: int) -> None:
        self.one(
            "WITH l AS (INSERT INTO ledger (account, most, nusd) VALUES (%s, %s, %s) RETURNING account, nusd)"
            " UPDATE account a SET spent = a.spent + l.nusd FROM l WHERE a.id = l.account RETURNING a.id",
            *(handle, MOST, nusd),
        )


class HotRow(_Tables):
    """Hold and settle on the account's one row, under its lock; each call has a row as well."""

    name = "one hot row"
    schema = _SCHEMA

    def hire(self, n: int) -> Worker:
        return _HotWorker(self, n)


class _HotWorker(_Own):
    waits = False

    def hold(self) -> Any:
        account = self.account()
        found = self.one(
            "WITH a AS (UPDATE account SET held = held + %s WHERE id = %s AND spent + held + %s <= cap RETURNING id)"
            " INSERT INTO ledger (account, most) SELECT id, %s FROM a RETURNING id",
            *(MOST, account, MOST, MOST),
        )
        if found is None:  # what others hold may come back
            self.waits = bool(self.one("SELECT 1 FROM account WHERE id = %s AND held > 0", account))
        return None if found is None else found[0]

    def settle(self, handle: Any, nusd: int) -> None:
        self.one(
            "WITH l AS (UPDATE ledger SET nusd = %s WHERE id = %s AND nusd IS NULL RETURNING *)"
            " UPDATE account a SET held = a.held - l.most, spent = a.spent + l.nusd FROM l"
            " WHERE a.id = l.account RETURNING a.id",
            *(nusd, handle),
        )


_ITEMS = """
WITH t AS (
    INSERT INTO papayya.tenant (name) SELECT 'account ' || n FROM generate_series(1, %(accounts)s) AS n
    ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id
), r AS (
    INSERT INTO papayya.run (name, carrier) VALUES (%(run)s, 'local') RETURNING id
), a AS (
    INSERT INTO papayya.agent (name) VALUES ('benchmark') ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id
), i AS (
    INSERT INTO papayya.item (run_id, tenant_id, agent_id, key, state, started_at)
    SELECT r.id, t.id, a.id, w::text, 'running', now() FROM r, t, a, generate_series(1, %(workers)s) AS w
    RETURNING id, key
)
INSERT INTO papayya.dispatch (item_id, token, locked_by, locked_until)
SELECT id, id, 'worker ' || key, now() + interval '1 hour' FROM i
"""


class Papayya:
    """Papayya's own functions: a call is held on its budget, and settled."""

    name = "papayya"

    def __init__(self, url: str) -> None:
        self.url = url
        self.run = ""

    def set_up(self) -> None:
        migrate.apply(self.url)

    def begin(self, accounts: int, workers: int, cap: int) -> None:
        self.run = secrets.token_hex(4)
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute("TRUNCATE papayya.budget, papayya.call, papayya.spend CASCADE")
            conn.execute(
                _ITEMS.encode(), {"accounts": accounts, "workers": workers, "run": self.run}
            )
            conn.execute(
                "SELECT papayya.set_budget_v1(tenant => name, usd => %s::numeric) FROM papayya.tenant"
                " WHERE id IN (SELECT tenant_id FROM papayya.item i JOIN papayya.run r ON r.id = i.run_id WHERE r.name = %s)",
                [cap // 10**9, self.run],
            )
            conn.execute("ANALYZE papayya.item, papayya.dispatch, papayya.tenant, papayya.budget")

    def hire(self, n: int) -> Worker:
        return PapayyaWorker(self, n)

    def held(self) -> tuple[int, int]:
        """Say what is held in all, and how many calls tell by whom."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            held = conn.execute("SELECT sum(held)::bigint FROM papayya.budget_slot").fetchone()
            rows = conn.execute(
                "SELECT count(*) FROM papayya.call WHERE cardinality(holds) > 0"
            ).fetchone()
        return (held or (0,))[0] or 0, (rows or (0,))[0]

    def sweep(self, workers: Iterable[int]) -> None:
        """Find workers dead: what they had under way is in doubt."""
        given: dict[str, Any] = {"dead": [f"worker {n}" for n in workers], "silent": False}
        given |= {"max_deliveries": 100, "limit": 10_000, "fences": None}
        left = "SELECT 1 FROM papayya.dispatch WHERE locked_by = ANY (%s) AND ended_at IS NULL"
        with psycopg.connect(self.url, autocommit=True) as conn:
            while conn.execute(
                left, [given["dead"]]
            ).fetchone():  # what is at work yet is passed by
                conn.execute(statements()["sweep"], given)

    def reconcile(self) -> None:
        """Say of each call that is in doubt what it cost: the most that it may have."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute(
                "SELECT papayya.reconcile_v1(id, held_nusd) FROM papayya.call WHERE state = 'uncertain'"
            )


class PapayyaWorker(_Own):
    """Holds for items that are its own, one for each account."""

    def __init__(self, way: Papayya, n: int) -> None:
        super().__init__(way, n)
        self.items = self.conn.execute(
            "SELECT i.id, d.id FROM papayya.item i JOIN papayya.run r ON r.id = i.run_id"
            " JOIN papayya.dispatch d ON d.item_id = i.id WHERE r.name = %s AND i.key = %s",
            [way.run, str(n + 1)],
        ).fetchall()
        self.waits = False
        self._hold, self._settle = statements()["hold"], statements()["settle"]
        given: dict[str, Any] = {"n": 0, "scope": b"", "ordinal": 1, "kind": "llm"}
        given |= {"provider": "openai", "schema": "openai.chat", "streamed": False, "samples": 1}
        given |= {"url": "api.openai.com/v1/chat/completions", "model": "benchmark", "tools": None}
        given |= {"prompt": 100, "output": 50, "bound": MOST, "unbounded": None, "near": False}
        given |= dict.fromkeys(("hash", "codec", "size", "body", "key_print", "floor", "guess"))
        given |= {"clamp": False, "priced": True, "unpriced": False, "enforce": True}
        self._held = given | {"fact": False, "passes": []}
        ending: dict[str, Any] = {"state": "answered", "status": 200, "sdk_retries": 0}
        ending |= dict.fromkeys(("headers", "retry_after", "request_id", "error", "first_seconds"))
        ending |= dict.fromkeys(("answered_by", "response_id", "finish", "tool_calls", "limits"))
        ending |= dict.fromkeys(("hash", "codec", "size", "body", "cool")) | dict.fromkeys(
            _TOKENS, 0
        )
        self._ended = ending | {"seconds": 0.1, "input": 10, "output": 5, "estimated": False}

    def hold(self) -> Any:
        item, fence = self.dice.choice(self.items)
        token = self.dice.getrandbits(62)
        given = {"item": item, "fence": fence, "token": token, "key": token.to_bytes(16)}
        row = self.conn.execute(self._hold, self._held | given).fetchone()
        verdict, call = (row or ("nothing", None))[:2]
        self.waits = verdict == "wait"
        return call if verdict == "go" else None

    def settle(self, handle: Any, nusd: int) -> None:
        given = {"call": handle, "cost": nusd, "source": "benchmark"}
        self.conn.execute(self._settle, self._ended | given)
