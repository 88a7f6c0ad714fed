"""The pump in a process of its own, after a script died or was stopped."""

from __future__ import annotations

import json
import signal

from tests.acceptance.recovery.processes import Process, until
from tests.acceptance.recovery.world import World

ITEMS = 40
STATES = "SELECT state::text, count(*) FROM papayya.item WHERE key = ANY (%s) GROUP BY 1"
LEASED = "SELECT count(*) FROM papayya.dispatch WHERE ended_at IS NULL"


def kill_at_work(world: World) -> Process:
    """Start a script and kill it with items in hand."""
    process = world.start("tag.py", ITEMS, 4)
    world.until_asked(20)
    process.kill()
    assert world.value(LEASED) > 0
    return process


def swept_by(*turns: str) -> dict[str, str]:
    """Read which items turns of the pump swept, with their new states."""
    found = [one for turn in turns for one in json.loads(turn)["swept"]]
    return {one["key"]: one["state"] for one in found}


def pump_once(world: World) -> dict[str, str]:
    """Take one turn of the pump."""
    return swept_by(world.cli("pump", "--once", "--json").succeed().said)


def test_items_of_the_dead_are_queued(world: World) -> None:
    """One turn puts back what a killed script held, before any lease expires."""
    world.settings = {}  # leases of a minute
    killed = kill_at_work(world)
    swept = pump_once(world)
    assert set(swept.values()) == {"queued"}
    assert world.query(STATES, list(swept)) == [("queued", len(swept))]
    assert world.value(LEASED) == 0
    world.start("tag.py", ITEMS, 4).succeed()
    assert world.compare(killed).audit.totals.done == ITEMS


def test_items_of_the_silent_are_queued(world: World) -> None:
    """A pump that stays puts back what a stopped script, the leader, holds past its leases."""
    process = world.start("tag.py", ITEMS, 4)
    world.until_asked(20)
    process.send(signal.SIGSTOP)
    held = world.value(LEASED)
    pump = world.cli("pump", "--every", "0.2", "--json")
    until(lambda: len(swept_by(*pump.said.splitlines())) == held, "all it holds is swept")
    assert set(swept_by(*pump.said.splitlines()).values()) == {"queued"}
    pump.send(signal.SIGTERM)
    pump.succeed()
    process.kill()
    world.start("tag.py", ITEMS, 4).succeed()
    assert world.compare(process).audit.totals.done == ITEMS


def test_what_died_too_often_fails(world: World) -> None:
    """The sweep fails an item as poison when it was delivered too often, and drops nothing."""
    killed = kill_at_work(world)
    world.settings |= {"PAPAYYA_MAX_DELIVERIES": "1"}
    swept = pump_once(world)
    assert set(swept.values()) == {"failed"}
    found = "SELECT count(DISTINCT item_id) FROM papayya.finding WHERE check_name = 'poison'"
    assert world.value(found) == len(swept)
    world.start("tag.py", ITEMS, 4).succeed()
    books = world.compare(killed)
    assert (books.audit.totals.failed, books.audit.dropped) == (len(swept), 0)
