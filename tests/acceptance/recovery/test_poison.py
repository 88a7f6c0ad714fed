"""An item that kills its process each time, and what the sweep makes of the rest."""

from __future__ import annotations

import signal

import pytest

from tests.acceptance.recovery.world import World

ITEMS = 12
POISON = "ticket-0002"
DELIVERIES = 3


@pytest.mark.parametrize("concurrency", [1, 4])
def test_poison_ends_and_the_others_complete(world: World, concurrency: int) -> None:
    """A poison item fails after PAPAYYA_MAX_DELIVERIES; its neighbours are not blamed for it."""
    world.settings |= {"PAPAYYA_MAX_DELIVERIES": str(DELIVERIES)}
    killed = [world.start("poison.py", ITEMS, concurrency)]
    while (code := killed[-1].wait()) == -signal.SIGKILL:
        killed.append(world.start("poison.py", ITEMS, concurrency))
    assert code == 0, killed[-1].complained
    failed = world.query("SELECT key, reason FROM papayya.item WHERE state = 'failed'")
    assert failed == [(POISON, f"{DELIVERIES} deliveries without an end")]
    assert len(killed) == DELIVERIES + 1
    books = world.compare(*killed)
    assert books.audit.totals.done == ITEMS - 1
