"""A process that is stopped past its leases (a suspended machine), and goes on much later."""

from __future__ import annotations

import signal
from typing import Any

from tests.acceptance.recovery.processes import until
from tests.acceptance.recovery.world import World

ITEMS = 40
TABLES = ("item", "dispatch", "step", "finding", "payload", "intake")


def everything(world: World) -> dict[str, list[Any]]:
    """Read all rows that an item has."""
    return {
        table: world.query(f"SELECT t::text FROM papayya.{table} AS t ORDER BY 1")
        for table in TABLES
    }


def test_late_writes_touch_nothing(world: World) -> None:
    """Another process takes over and finishes; what the first one still writes changes no row."""
    first = world.start("tag.py", ITEMS, 4)
    world.until_asked(10)
    first.send(signal.SIGSTOP)
    second = world.start("tag.py", ITEMS, 4).succeed()
    assert second.said.count("completed") == ITEMS
    before = everything(world)
    first.send(signal.SIGCONT)
    assert first.succeed().said.count("completed") == ITEMS
    assert everything(world) == before
    books = world.compare(first)
    assert books.audit.dropped == 0
    assert books.audit.lost


def test_a_stopped_process_keeps_nothing_alive(world: World) -> None:
    """The heartbeat does not renew for a stopped process; continued, it goes on if nobody took over."""
    world.stand_in.faults({"kind": "slow", "params": {"seconds": 2}})
    process = world.start("tag.py", 1, 1)
    world.until_asked(1)
    process.send(signal.SIGSTOP)
    expired = "SELECT locked_until < now() FROM papayya.dispatch"
    until(lambda: bool(world.value(expired)), "its lease expires")
    process.send(signal.SIGCONT)
    process.succeed()
    books = world.compare()
    assert (books.extras, books.audit.lost) == ((), ())
