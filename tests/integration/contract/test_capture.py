"""Capture and the ledger: what is submitted is counted once, whoever else submits it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.contract.sql import Contract

Connect = Callable[[str], Contract]


def test_idempotence(db: Contract) -> None:
    """The same key and input are the same item; another input gets the next ordinal, once."""
    run = db.start_run()
    first = db.capture(run, "a", "b")
    assert [(key, ordinal, state, fresh) for _, _, key, ordinal, state, fresh in first] == [
        ("a", 1, "queued", True),
        ("b", 1, "queued", True),
    ]
    again = db.capture(
        run, "b", "a", {"k": "a", "g": "01"}, {"k": "a", "g": "01"}, {"k": "a", "g": "02"}
    )
    assert [row[2:] for row in again] == [
        ("b", 1, "queued", False),
        ("a", 1, "queued", False),
        ("a", 2, "queued", True),
        ("a", 2, "queued", False),
        ("a", 3, "queued", True),
    ]
    exact = db.capture(run, {"k": "a", "g": "ff", "o": 2}, {"k": "a", "g": "ff", "o": 9})
    assert [row[2:] for row in exact] == [("a", 2, "queued", False), ("a", 9, "queued", True)]
    assert db.one("SELECT sum(count), count(*) FROM papayya.intake") == (5, 4)
    assert db.unexplained() == []
    assert [row[1] for row in first] == sorted(row[1] for row in first)


def test_tenants_agents_and_runs(db: Contract) -> None:
    """One key is another item for another tenant or run; there is a ledger row per batch and tenant."""
    one, two = db.start_run("one"), db.start_run("two")
    rows = db.capture(one, {"k": "a", "t": "x"}, {"k": "a", "t": "y"}, {"k": "b", "t": "y"})
    rows += db.capture(two, {"k": "a", "t": "x"})
    assert len({row[1] for row in rows}) == 4
    assert db.rows(
        "SELECT t.name, i.count FROM papayya.intake i JOIN papayya.tenant t"
        " ON t.id = tenant_id ORDER BY i.id"
    ) in (
        [("x", 1), ("y", 2), ("x", 1)],
        [("y", 2), ("x", 1), ("x", 1)],
    )
    assert db.rows("SELECT tenant, submitted, queued FROM papayya.audit_v1('one')") == [
        ("x", 1, 1),
        ("y", 2, 2),
    ]


def test_refused_and_cancelled(db: Contract) -> None:
    """A refused input is counted and has failed; what comes to a cancelled run is cancelled."""
    run = db.start_run()
    [row] = db.capture(run, {"k": "a", "r": "no name"})
    assert row[4] == "failed"
    assert db.one("SELECT outcome::text, reason FROM papayya.item") == ("failed", "no name")
    db.capture(run, "b")
    [late] = db.capture(run, {"k": "b", "g": "01", "r": "no name"})
    assert late[3:] == (2, "failed", True)
    assert db.cancel() == [
        row[1] for row in db.rows("SELECT 0, id FROM papayya.item WHERE key = 'b' AND ordinal = 1")
    ]
    assert db.capture(run, "c", {"k": "c", "g": "01"})[1][4] == "cancelled"
    assert db.unexplained() == []
    assert db.one("SELECT state FROM papayya.run_summary") == "cancelled"


def test_deleted_and_forged_rows(db: Contract) -> None:
    """A row that vanished, one that came from nowhere and a changed ledger are each named."""
    run = db.start_run(expect_keys=["a", "z"])
    a, b, c = db.items(run, "a", "b", "c")
    db.rows("DELETE FROM papayya.item WHERE id = %s", a)
    db.rows("UPDATE papayya.item SET key = 'forged' WHERE id = %s", b)
    db.rows("UPDATE papayya.item SET state = 'running' WHERE id = %s", c)
    found = {(row[0], row[3]) for row in db.unexplained()}
    assert found == {
        ("dropped", "a"),
        ("dropped", "b"),
        ("not submitted", "forged"),
        ("lease", "c"),
        ("expected", "z"),
    }
    db.rows("UPDATE papayya.intake SET keys = ARRAY['a', 'b', 'x']")
    assert "ledger" in {row[0] for row in db.unexplained()}


@pytest.mark.parametrize("inputs", ["equal", "different"])
def test_concurrent_captures(connect: Connect, inputs: str) -> None:
    """8 connections that submit overlapping keys at once make each item once, counted once."""
    workers = [connect(f"w{n}") for n in range(8)]
    run = workers[0].start_run()
    start = threading.Barrier(len(workers), timeout=60)
    keys = [f"k{n:03}" for n in range(120)]

    def submit(n: int) -> list[Any]:
        mine = keys[n * 5 :] + keys[: n * 5]
        mine = mine[::-1] if n % 2 else mine
        digest = "00" if inputs == "equal" else f"{n % 3:02}"
        start.wait()
        found: list[Any] = []
        for at in range(0, len(mine), 40):
            part = [
                {"k": key, "g": digest, "t": f"t{int(key[1:]) % 3}"} for key in mine[at : at + 40]
            ]
            found += workers[n].capture(run, *part)
        return found

    with ThreadPoolExecutor(len(workers)) as pool:
        found = [row for rows in pool.map(submit, range(len(workers))) for row in rows]
    variants = 1 if inputs == "equal" else 3
    db = workers[0]
    assert db.one("SELECT count(*) FROM papayya.item") == len(keys) * variants
    assert sum(row[5] for row in found) == len(keys) * variants
    assert db.one("SELECT sum(count) FROM papayya.intake") == len(keys) * variants
    assert {(key, ordinal) for _, _, key, ordinal, _, _ in found} == {
        (key, ordinal) for key in keys for ordinal in range(1, variants + 1)
    }
    assert db.unexplained() == []
    assert db.one("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0


def test_concurrent_opens(connect: Connect) -> None:
    """Of many workers that open one item at once exactly one gets it, fresh or expired."""
    workers = [connect(f"w{n}") for n in range(6)]
    db = workers[0]
    items = db.items(db.start_run(), *(f"k{n}" for n in range(20)))
    for round_ in range(2):
        start = threading.Barrier(len(workers), timeout=60)

        def claim(worker: Contract, start: threading.Barrier = start) -> list[str]:
            start.wait()
            return [worker.open(item).verdict for item in items]

        with ThreadPoolExecutor(len(workers)) as pool:
            verdicts = list(pool.map(claim, workers))
        for one_item in zip(*verdicts, strict=True):
            assert sorted(one_item) == ["busy"] * 5 + ["go"]
        assert db.one("SELECT count(*) FROM papayya.dispatch WHERE ended_at IS NULL") == 20
        assert set(db.rows("SELECT deliveries FROM papayya.item")) == {(round_ + 1,)}
        db.rows(
            "UPDATE papayya.dispatch SET locked_until = now() - interval '1 second'"
            " WHERE ended_at IS NULL"
        )
