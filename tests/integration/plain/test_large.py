"""Many steps in one item: from many threads, and very many of them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from papayya import agent, bind, run
from tests.integration.plain.script import Script, Till

MANY = 10_000
FILL = """
INSERT INTO papayya.step (item_id, label, args_hash, ordinal, n, dispatch_id, state, result, started_at, finished_at)
SELECT i.id, 's', '', g, g, (SELECT min(id) FROM papayya.dispatch), 'completed', to_json(g), now(), now()
FROM papayya.item i, generate_series(1, %s) g
"""
CHECKPOINT = """
SELECT verdict, stored FROM papayya.checkpoint_v1(json_build_array(json_build_object(
    'q', 0, 'd', %(fence)s::bigint, 'i', %(item)s::bigint, 'l', 's', 'h', '', 'o', %(n)s::int, 'n', %(n)s::int,
    'k', 'task', 's', 'completed', 'r', 1, 'a', 1, 'c', 0, 't', 0, 'm', 0)), NULL, false)
"""
TOUCHED = """
SELECT relname, seq_tup_read, coalesce(idx_tup_fetch, 0), n_tup_ins FROM pg_stat_xact_user_tables
WHERE schemaname = 'papayya' AND relname IN ('step', 'item', 'dispatch') ORDER BY relname
"""


def test_threads_on_one_item(script: Script) -> None:
    """8 threads with 50 steps each on one item leave 400 rows, numbered 1 to 400."""

    @agent
    def wide(n: int) -> int:
        def work(_: int) -> int:
            return sum(int(run.task("step", int)) + 1 for _ in range(50))

        with ThreadPoolExecutor(8) as pool:
            return sum(pool.map(bind(work), range(8)))

    assert wide(1) == 400
    rows = script.rows("SELECT ordinal, n FROM papayya.step")
    assert sorted(ordinal for ordinal, _ in rows) == list(range(1, 401))
    assert sorted(n for _, n in rows) == list(range(1, 401))
    assert script.one("SELECT steps FROM papayya.item") == 400


def test_ten_thousand_steps(script: Script) -> None:
    """An item of 10,000 steps resumes without running one; its next step is as cheap as the first."""
    till = Till()
    interrupt = [True]

    @agent
    def long(n: int) -> int:
        if interrupt[0]:
            raise KeyboardInterrupt
        return sum(run.task("s", lambda: till.buy(0)) for _ in range(MANY + 1))

    with pytest.raises(KeyboardInterrupt):
        long(1)
    script.change("UPDATE papayya.dispatch SET ended_at = NULL, ending = NULL")
    script.change("UPDATE papayya.item SET state = 'running'")
    first = touched(script.dsn, 1)
    script.change(FILL, MANY)
    assert touched(script.dsn, MANY + 1) == first
    script.change("UPDATE papayya.dispatch SET ended_at = now(), ending = 'released'")
    script.change("UPDATE papayya.item SET state = 'queued'")

    interrupt[0] = False
    script.start(run_id=script.run())
    assert long(1) == MANY * (MANY + 1) // 2
    assert till == [0]
    assert script.one("SELECT count(*), max(n), max(ordinal) FROM papayya.step") == (
        MANY + 1,
        MANY + 1,
        MANY + 1,
    )


def touched(dsn: str, n: int) -> list[Any]:
    """Count the rows that one checkpoint reads and writes, and roll it back."""
    with psycopg.connect(dsn) as connection:
        [(item, fence)] = connection.execute("SELECT item_id, id FROM papayya.dispatch").fetchall()
        told = connection.execute(CHECKPOINT, {"item": item, "fence": fence, "n": n}).fetchall()
        assert told == [("go", True)]
        found = connection.execute(TOUCHED).fetchall()
        connection.rollback()
    return found


def test_many_maps_at_once(script: Script) -> None:
    """Maps of one process may run side by side; each has its own run and loses nothing."""

    @agent
    def work(n: int) -> int:
        return int(run.task("double", lambda: 2 * n))

    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.extend(one.output for one in work.map(range(30))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(2 * n for n in [*range(30)] * 4)
    assert script.one("SELECT count(*) FROM papayya.run") == 4
