"""The network to Postgres falls silent: connections stand, but nothing comes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from papayya_core.embedded import Server
from tests.acceptance.away.gates import Gates
from tests.acceptance.away.proxy import Network
from tests.acceptance.recovery.processes import until
from tests.acceptance.recovery.world import World


@pytest.fixture
def network(server: Server, world: World) -> Iterator[Network]:
    """Put a network between the script and Postgres."""
    with Network(server) as made:
        world.dsn = made.dsn
        yield made


@pytest.mark.parametrize("policy", ["stop", "continue"])
def test_silence(world: World, gates: Gates, network: Network, policy: str) -> None:
    """Who paid for an answer gets it though Postgres is silent; it is in the books afterwards."""
    world.settings["PAPAYYA_AWAY"] = policy
    process = gates.start(3, "steps")
    gates.let(0)
    gates.open("ask-1")
    gates.until("answered-1")
    network.pause()
    gates.open("take-1")
    gates.until("got-1")
    assert "settle" in gates.spooled()
    gates.let(2)
    if policy == "continue":
        gates.until("got-2")
        until(lambda: gates.spooled().count("settle") == 2, "both are spooled")
    network.resume()
    assert process.succeed().said.split() == ["completed", *gates.paid()]
    books = gates.books()
    assert (books.states, books.ledger - books.spent, books.uncertain) == ({"answered": 3}, 0, 0)
    assert gates.files() == []
