"""A script that is killed without warning, again and again, and started again with its run id."""

from __future__ import annotations

import random
import time

import pytest

from tests.acceptance.recovery.world import World


@pytest.mark.parametrize(
    ("script", "items", "kills"), [("tag.py", 150, 6), ("tag_async.py", 60, 3)]
)
def test_kills_at_random_moments(world: World, script: str, items: int, kills: int) -> None:
    """After kills at random moments every item is done, and each extra payment has its kill."""
    dice = random.Random(script)
    asked = sorted(dice.randrange(items * 2 - 20) for _ in range(kills))
    killed = []
    for number in asked:
        process = world.start(script, items, 8)
        world.until_asked(number)
        time.sleep(dice.random() / 20)  # anywhere between two requests
        process.kill()
        killed.append(process)
    world.start(script, items, 8).succeed()
    books = world.compare(*killed)
    assert books.audit.dropped == 0
    assert books.audit.totals.submitted == books.audit.totals.done == items
