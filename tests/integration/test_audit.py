"""The audit: the conservation law holds, or what breaks it is named."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from papayya_core import codec
from papayya_core.audit import Audit, UnknownRun, audit
from papayya_core.contract import Agent, Submission
from tests.integration.cli_world import (
    DIME,
    World,
    broken,
    change,
    paid,
    papayya,
    papayya_json,
    world,
)

DELETE = "DELETE FROM papayya.item WHERE key = %s"
INSERT = """
    INSERT INTO papayya.item (run_id, tenant_id, agent_id, key)
    SELECT run_id, tenant_id, agent_id, %s FROM papayya.item LIMIT 1
"""
CORRUPT = "UPDATE papayya.intake SET keys_hash = sha256('x')"
EXPIRE = "UPDATE papayya.dispatch SET locked_until = now() - interval '1 s' WHERE ended_at IS NULL"


@pytest.fixture
def filled(papayya_database: str) -> Iterator[World]:
    """A database with nothing in it yet, and the means to fill it."""
    with world(papayya_database) as made:
        yield made


def look(dsn: str, run: str = "r") -> Audit:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return audit(connection, run)


def small_run(filled: World, *, seal: bool = True) -> None:
    """Two items of acme end well, one of globex fails."""
    run = filled.run("r")
    for key in ("a", "b"):
        filled.carry(run, key, paid)
    filled.carry(run, "c", broken, tenant="globex")
    if seal:
        filled.store.seal_run(run.id)


def test_everything_is_accounted_for(filled: World, papayya_database: str) -> None:
    """In a sealed run whose items ended, as many items ended as were submitted."""
    small_run(filled)
    report = look(papayya_database)
    assert (report.totals.submitted, report.totals.completed, report.totals.failed) == (3, 2, 1)
    assert report.tenants["acme"].cost_nusd == 2 * DIME
    assert (report.dropped, report.dropped_text) == (0, "0 silently dropped")
    assert report.explained


def test_a_deleted_item_is_named(filled: World, papayya_database: str) -> None:
    """An item row that somebody deleted is missed by its key, with its money: the exit code is 1."""
    small_run(filled)
    change(papayya_database, DELETE, "b")
    report = look(papayya_database)
    assert [(one.kind, one.key, one.tenant) for one in report.unexplained] == [
        ("dropped", "b", "acme"),
        ("money", None, "acme"),
    ]
    assert report.dropped_text == "1 silently dropped"
    shown = papayya("audit", "r", code=1).stdout
    assert "1 silently dropped" in shown
    assert "submitted, but there is no such item" in shown
    assert papayya_json("audit", "r", code=1)["conserved"] is False


def test_an_inserted_item_is_named(filled: World, papayya_database: str) -> None:
    """An item row that nobody submitted is named too: the two sides differ."""
    small_run(filled)
    change(papayya_database, INSERT, "smuggled")
    document = papayya_json("audit", "r", code=1)
    [found] = document["unexplained"]
    assert (found["kind"], found["key"]) == ("not submitted", "smuggled")
    assert (document["dropped"], document["conserved"], document["explained"]) == (0, False, False)


def test_a_swapped_item_is_named(filled: World, papayya_database: str) -> None:
    """One item deleted and one smuggled in do not make up for each other."""
    small_run(filled)
    change(papayya_database, DELETE, "b")
    change(papayya_database, INSERT, "smuggled")
    report = look(papayya_database)
    assert [one.key for one in report.unexplained if one.key] == ["b", "smuggled"]
    assert not report.conserved


def test_a_changed_ledger_is_named(filled: World, papayya_database: str) -> None:
    """A ledger row whose keys do not match its hash is not believed."""
    small_run(filled)
    change(papayya_database, CORRUPT)
    document = papayya_json("audit", "r", code=1)
    assert {found["kind"] for found in document["unexplained"]} == {"ledger"}


def test_an_open_run_does_not_say_zero(filled: World, papayya_database: str) -> None:
    """While the input was not read to its end, what was dropped is unknown; that is explained."""
    small_run(filled, seal=False)
    report = look(papayya_database)
    assert (report.dropped, report.explained) == (None, True)
    assert report.dropped_text == "unknown (the input was not read to its end)"
    assert papayya_json("audit", "r")["dropped"] is None


def test_an_open_run_says_what_it_knows(filled: World, papayya_database: str) -> None:
    """A deleted item is missed in a run that is not sealed too: it is the least number."""
    small_run(filled, seal=False)
    change(papayya_database, DELETE, "a")
    assert look(papayya_database).dropped_text == "at least 1 silently dropped"


def test_open_items_are_explained(filled: World, papayya_database: str) -> None:
    """Items that are queued or running are accounted for, and the exit code is 0."""
    run = filled.run("r")
    filled.submit(run, "waits")
    filled.open(run, "runs")
    filled.store.seal_run(run.id)
    document = papayya_json("audit", "r")
    assert (document["totals"]["queued"], document["totals"]["running"]) == (1, 1)
    assert (document["dropped"], document["explained"]) == (0, True)
    assert "2 items are still open" in papayya("audit", "r").stdout


def test_fewer_than_expected_is_not_explained(filled: World, papayya_database: str) -> None:
    """A sealed run that was told to expect more items than came has dropped the rest."""
    run = filled.run("r", expect_count=5)
    filled.submit(run, "a", "b")
    assert look(papayya_database).explained
    filled.store.seal_run(run.id)
    report = look(papayya_database)
    assert report.dropped == 3
    assert "5 items were expected, 3 of them never submitted" in report.unexplained[0].detail


def test_more_than_expected_is_explained(filled: World, papayya_database: str) -> None:
    """Items beyond the expected number were submitted like any other."""
    run = filled.run("r", expect_count=1)
    filled.submit(run, "a", "b")
    filled.store.seal_run(run.id)
    assert look(papayya_database).explained


def test_items_inside_items_were_not_expected(filled: World, papayya_database: str) -> None:
    """What agents submit while they run does not fill up the expected number."""
    run = filled.run("r", expect_count=2)
    [parent] = filled.submit(run, "a")
    ref = filled.runtime.register(Agent("inner", "v1"))
    child = Submission("acme", "child", codec.digest("1"), parent_id=parent.item_id)
    filled.store.capture(run.id, ref.agent_id, [child])
    filled.store.seal_run(run.id)
    assert look(papayya_database).dropped == 1


def test_expected_keys_are_awaited_then_missed(filled: World, papayya_database: str) -> None:
    """A key that never came is awaited while the run is open, and named when it is sealed."""
    run = filled.run("r", expect_count=2, expect_keys=["a", "never"])
    filled.submit(run, "a")
    report = look(papayya_database)
    assert (report.awaited, report.explained) == (("never",), True)
    filled.store.seal_run(run.id)
    report = look(papayya_database)
    assert [(one.kind, one.key) for one in report.unexplained] == [("expected", "never")]
    assert report.dropped == 1


def test_lost_deliveries_are_listed(filled: World, papayya_database: str) -> None:
    """A delivery whose worker was lost is listed with its key; that alone is no fault."""
    filled.open(filled.run("r"), "held")
    change(papayya_database, EXPIRE)
    papayya("pump", "--once")
    [lost] = look(papayya_database).lost
    assert (lost.key, lost.locked_by) == ("held", filled.runtime.owner)
    assert "1 delivery had no end" in papayya("audit", "r").stdout


def test_an_unknown_run_gets_a_suggestion(filled: World, papayya_database: str) -> None:
    """A name that is nearly a run's is answered with the run's."""
    filled.run("nightly-tickets")
    with pytest.raises(UnknownRun, match="did you mean 'nightly-tickets'"):
        look(papayya_database, "nightly")


def test_a_transaction_of_the_caller_is_kept(filled: World, papayya_database: str) -> None:
    """The audit works inside a transaction that is open already, and leaves it open."""
    small_run(filled)
    with psycopg.connect(papayya_database) as connection:
        connection.execute("SELECT 1")
        assert audit(connection, "r").explained
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
