"""Ctrl-C: what is under way ends, the rest waits for the next start; a second one leaves at once."""

from __future__ import annotations

import signal

from tests.acceptance.recovery.processes import Process, until
from tests.acceptance.recovery.world import World

ITEMS = 60
LEASED = "SELECT count(*) FROM papayya.dispatch WHERE ended_at IS NULL"
RUNNING = "SELECT count(*) FROM papayya.item WHERE state = 'running'"
INTERRUPTED = (-signal.SIGINT, 130)


def check_left_resumable(world: World, process: Process) -> None:
    """Insist that it was interrupted, said how to go on, and holds nothing."""
    assert process.wait() in INTERRUPTED
    assert f"nothing is lost. Go on with PAPAYYA_RUN_ID={world.run}" in process.complained
    assert (world.value(LEASED), world.value(RUNNING)) == (0, 0)


def test_once(world: World) -> None:
    """The first Ctrl-C finishes what is under way and pays nothing twice; a new start does the rest."""
    process = world.start("tag.py", ITEMS, 4)
    world.until_asked(30)
    process.send(signal.SIGINT)
    check_left_resumable(world, process)
    assert world.value("SELECT count(*) FROM papayya.item WHERE state = 'queued'") > 0
    world.start("tag.py", ITEMS, 4).succeed()
    books = world.compare()
    assert books.audit.totals.done == ITEMS
    assert (books.extras, books.audit.lost) == ((), ())


def test_twice(world: World) -> None:
    """A second Ctrl-C leaves without waiting for answers; what they cost is listed as lost."""
    world.stand_in.faults({"kind": "slow", "params": {"seconds": 600}, "nth": 9})
    process = world.start("tag.py", ITEMS, 4)
    world.until_asked(9)
    process.send(signal.SIGINT)
    until(lambda: "Ctrl-C again" in process.complained, "it waits for what is under way")
    process.send(signal.SIGINT)
    check_left_resumable(world, process)
    world.start("tag.py", ITEMS, 4).succeed()
    books = world.compare(process)
    assert books.audit.totals.done == ITEMS
    assert books.extras


def test_in_an_event_loop(world: World) -> None:
    """Ctrl-C cancels the tasks of an event loop; the answers they waited for are listed as lost."""
    world.stand_in.faults({"kind": "slow", "params": {"seconds": 600}, "nth": 9})
    process = world.start("tag_async.py", ITEMS, 4)
    world.until_asked(12)
    process.send(signal.SIGINT)
    assert process.wait() in INTERRUPTED
    assert (world.value(LEASED), world.value(RUNNING)) == (0, 0)
    world.start("tag_async.py", ITEMS, 4).succeed()
    books = world.compare(process)
    assert books.audit.totals.done == ITEMS
    assert books.extras


def test_in_the_loop(world: World) -> None:
    """Ctrl-C in the code that uses the results still ends what the map has in hand."""
    process = world.start("tag.py", ITEMS, 4, "hold")
    until(lambda: "completed" in process.said, "the first result is there")
    process.send(signal.SIGINT)
    assert process.wait() in INTERRUPTED
    assert (world.value(LEASED), world.value(RUNNING)) == (0, 0)
    world.start("tag.py", ITEMS, 4).succeed()
    books = world.compare()
    assert books.audit.totals.done == ITEMS
    assert (books.extras, books.audit.lost) == ((), ())
