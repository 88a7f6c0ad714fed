"""Postgres is killed under a script at work, and comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from papayya_core import migrate
from papayya_core.embedded import Server
from tests.acceptance.recovery.postgres import kill, lasting_server
from tests.acceptance.recovery.processes import StandIn, until
from tests.acceptance.recovery.world import World

ITEMS = 80
COMMITTED = "SELECT result->>'id' FROM papayya.step WHERE state = 'completed'"


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a Postgres of the test's own."""
    with lasting_server() as started:
        migrate.apply(started.dsn)
        yield started


@pytest.fixture
def world(server: Server, tmp_path: Path, stand_in: StandIn) -> Iterator[World]:
    """Make a world on a server that may be killed."""
    made = World(server.dsn, tmp_path, stand_in)
    yield made
    for process in made.processes:
        process.end()


def paid_steps(world: World) -> dict[str, str]:
    """Return the requests, by their hash, whose answers are committed, with the answers' ids."""
    committed = {row[0] for row in world.query(COMMITTED)}
    return {
        one.body_sha256: str(one.response_id)
        for one in world.stand_in.paid()
        if one.response_id in committed
    }


def test_the_script_goes_on_by_itself(world: World, server: Server) -> None:
    """A killed server that comes back within the leases costs nothing: nothing is paid twice."""
    world.settings |= {"PAPAYYA_LEASE_SECONDS": "60"}
    process = world.start("tag.py", ITEMS, 4)
    world.until_asked(ITEMS)
    kill(server)
    server.start()
    assert process.succeed().said.count("completed") == ITEMS
    books = world.compare()
    assert (books.audit.totals.done, books.audit.dropped) == (ITEMS, 0)
    assert (books.extras, books.audit.lost) == ((), ())


def test_an_outage_that_outlasts_the_leases(world: World, server: Server) -> None:
    """Nothing committed is paid again; what was in hand may be, and is listed."""
    process = world.start("tag.py", ITEMS, 4)
    world.until_asked(ITEMS)
    before = paid_steps(world)
    kill(server)
    back = time.monotonic() + 2 * float(world.settings["PAPAYYA_LEASE_SECONDS"])
    until(lambda: time.monotonic() > back, "the outage lasts")
    server.start()
    assert process.succeed().said.count("completed") == ITEMS
    books = world.compare(process)
    assert (books.audit.totals.done, books.audit.dropped) == (ITEMS, 0)
    assert before
    again = [one for one in world.stand_in.paid() if one.body_sha256 in before]
    assert {one.response_id for one in again} == set(before.values())
