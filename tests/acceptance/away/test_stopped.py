"""Postgres is stopped under a script: what was paid is kept, by both policies, and paid once."""

from __future__ import annotations

import pytest

from papayya_core.embedded import Server
from tests.acceptance.away.gates import Gates
from tests.acceptance.recovery.postgres import kill
from tests.acceptance.recovery.processes import until
from tests.acceptance.recovery.world import World

STEPS = pytest.mark.parametrize("options", [(), ("steps",)], ids=["bare", "steps"])


@STEPS
def test_an_answer_without_postgres(
    world: World, gates: Gates, server: Server, options: tuple[str, ...]
) -> None:
    """Stop: who paid for an answer gets it at once; it is in the books when Postgres is back."""
    world.settings["PAPAYYA_AWAY"] = "stop"
    process = gates.start(2, *options)
    gates.open("ask-0")
    gates.until("answered-0")
    kill(server)
    gates.open("take-0")
    gates.until("got-0")
    assert gates.spooled() == ["settle"]
    server.start()
    gates.let(1)
    assert process.succeed().said.split() == ["completed", *gates.paid()]
    books = gates.books()
    assert (books.states, books.ledger - books.spent, books.uncertain) == ({"answered": 2}, 0, 0)
    assert gates.files() == []


def test_no_new_spend(world: World, gates: Gates, server: Server) -> None:
    """Stop: nothing is asked without Postgres; the next process replays, and the journal answers."""
    world.settings |= {"PAPAYYA_AWAY": "stop", "PAPAYYA_DB_PATIENCE": "2"}
    process = gates.start(2)
    gates.open("ask-0")
    gates.until("answered-0")
    kill(server)
    gates.open("take-0")
    gates.let(1)
    assert process.wait() == 1
    assert "Postgres has been away" in process.complained
    assert (gates.spooled(), len(gates.paid())) == (["settle"], 1)
    server.start()
    assert gates.start(2).succeed().said.split() == ["completed", *gates.paid()]
    books = gates.books()
    assert books.states == {"answered": 2, "replayed": 1}
    assert (len(gates.paid()), books.ledger - books.spent, books.uncertain) == (2, 0, 0)
    assert gates.files() == []


@STEPS
def test_going_on(world: World, gates: Gates, server: Server, options: tuple[str, ...]) -> None:
    """Continue: calls and checkpoints go on without Postgres; all is in the books when it is back."""
    world.settings["PAPAYYA_AWAY"] = "continue"
    process = gates.start(3, *options)
    gates.let(0)
    gates.until("got-0")
    kill(server)
    gates.let(1, 2)
    gates.until("got-2")
    until(lambda: gates.spooled().count("settle") == 2, "both are spooled")
    server.start()
    assert process.succeed().said.split() == ["completed", *gates.paid()]
    books = gates.books()
    assert (books.states, books.ledger - books.spent, books.uncertain) == ({"answered": 3}, 0, 0)
    assert world.query("SELECT label, state::text FROM papayya.step ORDER BY n") == [
        (f"ask-{k}", "completed") for k in range(3) if options
    ]
    assert gates.files() == []


@STEPS
def test_killed_with_entries(
    world: World, gates: Gates, server: Server, options: tuple[str, ...]
) -> None:
    """Continue: what a killed process had spooled is replayed by the next; nothing is paid twice."""
    world.settings["PAPAYYA_AWAY"] = "continue"
    process = gates.start(3, *options)
    gates.let(0)
    gates.until("got-0")
    kill(server)
    gates.let(1)
    gates.open("ask-2")
    gates.until("answered-2")
    gates.open("take-2")
    until(lambda: gates.spooled().count("settle") == 2, "both are spooled")
    process.kill()
    server.start()
    again = gates.start(3, *options).succeed()
    assert again.said.split() == ["completed", *gates.paid()]
    books = gates.books()
    assert (len(gates.paid()), books.ledger - books.spent, books.uncertain) == (3, 0, 0)
    assert gates.files() == []


def test_killed_in_flight(world: World, gates: Gates, server: Server) -> None:
    """Continue: what was sent without Postgres by a process that died is paid again, and in doubt."""
    world.settings["PAPAYYA_AWAY"] = "continue"
    process = gates.start(2)
    gates.let(0)
    gates.until("got-0")
    kill(server)
    gates.open("ask-1")
    gates.until("answered-1")
    assert gates.spooled() == ["hold"]
    process.kill()
    server.start()
    gates.open("take-1")
    gates.start(2).succeed()
    books = gates.books()
    assert (len(gates.paid()), books.states["uncertain"]) == (3, 1)
    assert books.spent < books.ledger <= books.spent + books.uncertain
    assert gates.files() == []


def test_paid_twice(world: World, gates: Gates, server: Server) -> None:
    """An answer that is replayed after somebody else has paid for it again is in the books, too."""
    world.settings |= {"PAPAYYA_AWAY": "continue", "PAPAYYA_LEASE_SECONDS": "2"}
    world.settings["PAPAYYA_HEARTBEAT_SECONDS"] = "1"
    process = gates.start(2)
    gates.let(0)
    gates.until("got-0")
    kill(server)
    gates.let(1)
    gates.until("got-1")
    until(lambda: "settle" in gates.spooled(), "it is spooled")
    process.kill()
    [file] = (world.folder / "spool").iterdir()
    hidden = file.rename(world.folder / file.name)  # as if it were on another machine
    server.start()
    gates.start(2).succeed()
    assert len(gates.paid()) == 3
    hidden.rename(file)
    said = world.cli("spool", "replay").succeed().said
    assert "2 replayed, 0 refused, 0 files wait" in said
    assert world.value("SELECT sum(cost_nusd) FROM papayya.call") == sum(
        entry.cost_nusd for entry in world.stand_in.paid()
    )
    states = world.query("SELECT state::text, count(*) FROM papayya.call GROUP BY 1 ORDER BY 1")
    assert states == [("answered", 3), ("replayed", 1)]
    assert gates.files() == []
