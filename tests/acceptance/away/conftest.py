"""The fixtures of these tests: a Postgres to stop, a stand-in, a world with gates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from papayya_core import migrate
from papayya_core.embedded import Server
from tests.acceptance.away.gates import Gates
from tests.acceptance.recovery.postgres import lasting_server
from tests.acceptance.recovery.processes import StandIn
from tests.acceptance.recovery.world import World
from tests.chaos import calls_books


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a Postgres of the test's own."""
    with lasting_server() as started:
        migrate.apply(started.dsn)
        calls_books.set_prices(started.dsn)
        yield started


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandIn]:
    """Start a stand-in that answers at once."""
    started = StandIn(tmp_path)
    yield started
    started.process.end()


@pytest.fixture
def world(server: Server, tmp_path: Path, stand_in: StandIn) -> Iterator[World]:
    """Make a world on a server that may be killed, with leases that outlast that."""
    made = World(server.dsn, tmp_path, stand_in, run="away", calls=True)
    made.settings = {"GATES": str(tmp_path / "gates"), "PAPAYYA_LEASE_SECONDS": "60"}
    yield made
    for process in made.processes:
        process.end()


@pytest.fixture
def gates(world: World, server: Server) -> Gates:
    """Make the gates, all closed."""
    return Gates(world, server)
