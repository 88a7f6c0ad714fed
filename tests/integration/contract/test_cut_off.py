"""A statement whose connection was cut may still be at work when it is sent again."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.integration.contract.budgetsql import item_of
from tests.integration.contract.callsql import calls, hold
from tests.integration.contract.sql import Contract

Connect = Callable[[str], Contract]
WAITING = """
SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted
"""


def twice(connect: Connect, send: Callable[[Contract, bool], Any]) -> list[Any]:
    """Send a statement, and again while the first sending waits for a budget that is being set."""
    setter, watcher = connect("setter"), connect("watcher")
    workers = [connect("first"), connect("again")]
    with ThreadPoolExecutor(2) as pool:
        with setter.connection.transaction():
            setter.rows("SELECT pg_advisory_xact_lock(1885433953, 1)")
            sent = [pool.submit(send, mine, mine is workers[1]) for mine in workers]
            until = time.monotonic() + 30
            while watcher.one(WAITING) < len(sent):
                assert time.monotonic() < until
        return [each.result(30) for each in sent]


def test_a_hold(db: Contract, connect: Connect) -> None:
    """A hold that is replayed while its first sending goes on is one call."""
    item = item_of(db, db.start_run(), "acme", "a")
    fence = db.fence(item, lease=1e9)

    def send(mine: Contract, again: bool) -> Any:
        return hold(mine, item, fence, token=7, fact=again, near=False)

    first, again = twice(connect, send)
    assert calls(db, item) == ["pending"]
    assert first.call_id == again.call_id


def test_a_recorded_call(db: Contract, connect: Connect) -> None:
    """A tool's call that is replayed while its first sending goes on is paid once."""
    item = item_of(db, db.start_run(), "acme", "a")
    fence = db.fence(item, lease=1e9)
    names = ("hash", "codec", "size", "body")
    params: dict[str, Any] = dict.fromkeys([*names, *(f"answer_{name}" for name in names)])
    params |= {"token": 7, "n": 1, "scope": b"", "kind": "tool", "model": "search", "error": None}
    params |= {"seconds": 0.1, "cost": 100}
    twice(connect, lambda mine, _: mine.call("record_call", item=item, fence=fence, **params))
    assert calls(db, item, "cost_nusd") == [100]
    assert db.one("SELECT sum(cost_nusd) FROM papayya.spend") == 100
