"""A run by hand whose script ends in the middle."""

from __future__ import annotations

import pytest

from tests.acceptance.recovery.world import World


@pytest.mark.parametrize(("ending", "code", "lost"), [("leave", 3, 0), ("die", -9, 1)])
def test_it_goes_on(world: World, ending: str, code: int, lost: int) -> None:
    """The same run id goes on after an exit or a kill: the finished task is not paid again."""
    process = world.start("by_hand.py", ending)
    assert process.wait() == code, process.complained
    again = world.start("by_hand.py", "complete").succeed()
    assert again.said.splitlines()[0] == process.said.strip()
    books = world.compare(process)
    assert (books.audit.totals.done, books.audit.dropped) == (1, 0)
    assert (len(books.extras), len(books.audit.lost)) == (0, lost)
    assert len(world.stand_in.paid()) == 2


def test_a_completed_run_pays_nothing(world: World) -> None:
    """The same run id after the end gives the same results from the books."""
    first = world.start("by_hand.py", "complete").succeed()
    assert world.start("by_hand.py", "complete").succeed().said == first.said
    assert len(world.stand_in.paid()) == 2
