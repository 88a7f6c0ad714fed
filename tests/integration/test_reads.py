"""The statements for people, read into rows."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from papayya_core import codec
from papayya_core.store import details, reads
from papayya_core.store.reads import ItemFilter, UnknownName
from tests.integration.cli_world import DIME, World, broken, paid, step, world


@pytest.fixture
def filled(papayya_database: str) -> Iterator[World]:
    """A database with nothing in it yet, and the means to fill it."""
    with world(papayya_database) as made:
        yield made


@pytest.fixture
def connection(papayya_database: str) -> Iterator[reads.Connection]:
    """A connection as the command line has it."""
    with psycopg.connect(papayya_database, autocommit=True) as made:
        yield made


def test_runs_are_counted(filled: World, connection: reads.Connection) -> None:
    """A run's row has its counts by state and outcome, and what it cost."""
    run = filled.run("r", label="demo")
    filled.carry(run, "a", paid)
    filled.carry(run, "b", broken)
    filled.submit(run, "c")
    [row] = reads.list_runs(connection)
    assert (row.items, row.done, row.flagged, row.open, row.failed) == (3, 1, 1, 1, 1)
    assert (row.cost_nusd, row.state, row.label) == (DIME, "open", "demo")


def test_runs_come_newest_first(filled: World, connection: reads.Connection) -> None:
    """The newest run is the first, and a label narrows the list."""
    for number in range(3):
        filled.run(f"r{number}", label="odd" if number % 2 else "even")
    assert [row.run for row in reads.list_runs(connection)] == ["r2", "r1", "r0"]
    assert [row.run for row in reads.list_runs(connection, label="even", limit=1)] == ["r2"]


def test_tenants_have_their_own_sums(filled: World, connection: reads.Connection) -> None:
    """Each tenant has its counts, success rate and cost, in one run or in all."""
    first, second = filled.run("first"), filled.run("second")
    filled.carry(first, "a", paid)
    filled.carry(second, "a", paid)
    filled.carry(second, "b", broken)
    filled.carry(second, "c", paid, tenant="globex")
    acme, globex = reads.list_tenants(connection)
    assert (acme.tenant, acme.items, acme.success_rate, acme.cost_nusd) == (
        "acme",
        3,
        2 / 3,
        2 * DIME,
    )
    assert (globex.items, globex.success_rate) == (1, 1.0)
    [alone] = reads.list_tenants(connection, reads.find_run(connection, "first"))
    assert (alone.items, alone.cost_nusd) == (1, DIME)


def test_the_cost_of_open_items_counts_once(filled: World, connection: reads.Connection) -> None:
    """An item that failed and is queued again still costs what its steps cost."""

    def pays_and_fails(value: str) -> None:
        paid(value)
        broken(value)

    filled.carry(filled.run("r"), "a", pays_and_fails)
    connection.execute("SELECT papayya.retry_v1('r', NULL)")
    [tenant] = reads.list_tenants(connection)
    [item] = reads.list_items(connection, ItemFilter(), 10)
    assert (tenant.open, tenant.cost_nusd, item.cost_nusd) == (1, DIME, DIME)


def test_pages_hold_every_item_once(filled: World, connection: reads.Connection) -> None:
    """Page after page, each item is listed once, newest first."""
    filled.submit(filled.run("r"), *(f"k{number}" for number in range(7)))
    seen: list[str] = []
    after: int | None = None
    while page := reads.list_items(connection, ItemFilter(after=after), 3):
        seen += [row.key for row in page]
        after = page[-1].id
    assert seen == [f"k{number}" for number in reversed(range(7))]


def test_items_are_narrowed(filled: World, connection: reads.Connection) -> None:
    """Every part of a filter narrows."""
    run = filled.run("r")
    filled.carry(run, "good")
    filled.carry(run, "bad", broken, tenant="globex")
    filled.submit(run, "open", agent="other")
    wanted = {
        "bad": ItemFilter(flagged=True),
        "good": ItemFilter(outcome="ok"),
        "open": ItemFilter(state="queued"),
    }
    for key, chosen in wanted.items():
        assert [row.key for row in reads.list_items(connection, chosen, 9)] == [key]
    globex = ItemFilter(tenant=reads.find_tenant(connection, "globex"))
    other = ItemFilter(agent=reads.find_agent(connection, "other"))
    assert [row.key for row in reads.list_items(connection, globex, 9)] == ["bad"]
    assert [row.key for row in reads.list_items(connection, other, 9)] == ["open"]


def test_a_key_is_found_as_it_is_shown(filled: World, connection: reads.Connection) -> None:
    """``k#2`` is the second item of ``k``, and a key may hold a number sign of its own."""
    run = filled.run("r")
    filled.carry(run, "k", value="one")
    filled.carry(run, "k", value="two")
    filled.carry(run, "odd#7")
    for key, others in (("k", ["k#2"]), ("k#2", []), ("odd#7", [])):
        found, more = reads.items_of_key(connection, key, ItemFilter())
        assert ([row.key for row in found], [row.key for row in more]) == ([key], others)


def test_near_keys_begin_alike(filled: World, connection: reads.Connection) -> None:
    """A key that does not exist is answered with keys that begin like it."""
    filled.submit(filled.run("r"), "ticket-1", "ticket-2", "100%_x")
    assert reads.near_keys(connection, "ticket-99") == ["ticket-1", "ticket-2"]
    assert reads.near_keys(connection, "100%") == ["100%_x"]


def test_unknown_names_say_what_there_is(filled: World, connection: reads.Connection) -> None:
    """A tenant that does not exist is answered with a near one."""
    filled.submit(filled.run("r"), "a", tenant="globex")
    with pytest.raises(UnknownName, match="did you mean 'globex'"):
        reads.find_tenant(connection, "globx")


def test_findings_of_one_kind_are_one_cluster(filled: World, connection: reads.Connection) -> None:
    """Errors that differ in what they quote only are one cluster, with one key as an example."""
    run = filled.run("r")
    for key in ("a", "b"):
        filled.carry(run, key, broken)
    [cluster] = reads.list_clusters(connection, run.id)
    assert (cluster.check, cluster.items, cluster.sample_key) == ("exception", 2, "b")


def test_budgets_show_what_was_spent(filled: World, connection: reads.Connection) -> None:
    """A run's cap comes with what was spent under it."""
    run = filled.run("r", budget_nusd=5 * DIME)
    filled.carry(run, "a", paid)
    [budget] = reads.list_budgets(connection, run.id)
    assert (budget.limit_nusd, budget.spent_nusd, budget.agent) == (5 * DIME, DIME, None)


def test_results_stream_in_order(filled: World, connection: reads.Connection) -> None:
    """Every item of a run comes once, in the order it was recorded, over several batches."""
    run, other = filled.run("r"), filled.run("other")
    filled.carry(other, "not mine")
    keys = [f"k{number:02}" for number in range(40)]
    filled.submit(run, *keys)
    filled.carry(run, "k03", paid)
    found = list(details.stream_results(connection, run.id))
    assert [one.row.key for one in found] == keys
    assert found[3].row.output == {"answer": "K03"}
    assert found[4].row.output is None


def test_results_stream_large_outputs(filled: World, connection: reads.Connection) -> None:
    """Outputs of a megabyte come back whole."""
    run = filled.run("r")
    for number in range(6):
        filled.carry(run, f"k{number}", lambda value: value[-1] * 1_000_000)
    outputs = [one.row.output for one in details.stream_results(connection, run.id)]
    assert outputs == [str(number) * 1_000_000 for number in range(6)]


def test_large_step_results_are_told_by_size(filled: World, connection: reads.Connection) -> None:
    """A step's small and middling results are shown, a large one by its size."""
    run = filled.run("r")

    def three(_: object) -> None:
        for size in (10, 10_000, 1_000_000):
            step("s", "x".__mul__, size)

    filled.carry(run, "k", three)
    [item] = reads.list_items(connection, ItemFilter(), 1)
    small, middling, large = (one.result for one in details.list_steps(connection, item.id, 9))
    assert (small, middling) == ("x" * 10, "x" * 10_000)
    assert large == f"({len(codec.encode('x' * 1_000_000)):,} bytes)"


def test_reads_of_a_snapshot_agree(filled: World, connection: reads.Connection) -> None:
    """What is submitted while a page is read does not show on it."""
    run = filled.run("r")
    with reads.snapshot(connection):
        before = reads.list_runs(connection)
        filled.submit(run, "late")
        assert reads.list_runs(connection) == before
    assert reads.list_runs(connection)[0].items == 1
