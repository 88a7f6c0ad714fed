"""The process that renews leases: as long-lived as its script, and no longer."""

from __future__ import annotations

import signal

from tests.acceptance.recovery.processes import Process, children, is_alive, until
from tests.acceptance.recovery.world import World


def heart_of(process: Process) -> int:
    """Find the one process that a script has started."""
    until(lambda: len(children(process.pid)) == 1, "it has a heartbeat")
    return children(process.pid)[0]


def test_code_that_starves_all_threads_keeps_its_item(world: World) -> None:
    """A C call that holds the interpreter's lock for two leases is not taken for a death."""
    world.settings = {"PAPAYYA_LEASE_SECONDS": "4", "PAPAYYA_HEARTBEAT_SECONDS": "0.5"}
    process = world.start("busy.py", 9)
    until(lambda: "busy" in process.said, "it holds the lock")
    rival = world.start("busy.py", 0)
    assert process.succeed().said == "busy\nticket-0000 completed\n"
    assert rival.succeed().said == "ticket-0000 completed\n"
    books = world.compare()
    assert (books.extras, books.audit.lost) == ((), ())
    assert world.value("SELECT count(*) FROM papayya.dispatch") == 1


def test_no_orphan(world: World) -> None:
    """The heartbeat ends when its script is killed."""
    world.stand_in.faults({"kind": "slow", "params": {"seconds": 600}})
    process = world.start("tag.py", 1, 1)
    world.until_asked(1)
    heart = heart_of(process)
    process.kill()
    until(lambda: not is_alive(heart), "the heartbeat ends")


def test_it_outlives_a_stop(world: World) -> None:
    """The heartbeat of a stopped script stays, and ends with the script."""
    world.stand_in.faults({"kind": "slow", "params": {"seconds": 2}})
    process = world.start("tag.py", 1, 1)
    world.until_asked(1)
    heart = heart_of(process)
    process.send(signal.SIGSTOP)
    expired = "SELECT locked_until < now() FROM papayya.dispatch"
    until(lambda: bool(world.value(expired)), "its lease expires")
    assert is_alive(heart)
    process.send(signal.SIGCONT)
    process.succeed()
    until(lambda: not is_alive(heart), "the heartbeat ends")
    assert world.compare().audit.lost == ()
