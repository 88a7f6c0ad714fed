"""Items that a loop of plain Python holds back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from papayya import loops
from tests.support.processes import until

ITEM, LONG = 7, 600.0


def in_a_task(item_id: int, delay: float) -> None:
    asyncio.run(loops.pause_async(item_id, delay))


@pytest.mark.parametrize("pause", [loops.pause, in_a_task])
def test_woken(pause: Callable[[int, float], None]) -> None:
    """What is held back goes on when somebody wakes it, and not for another item's sake."""
    waiting = threading.Thread(target=pause, args=(ITEM, LONG), daemon=True)
    waiting.start()
    until(lambda: loops.held() == [ITEM], "it is held back")
    loops.wake(ITEM + 1)
    assert waiting.is_alive()
    loops.wake(ITEM)
    waiting.join(30)
    assert not waiting.is_alive()
    assert not loops.any_held()


@pytest.mark.parametrize("pause", [loops.pause, in_a_task])
@pytest.mark.parametrize("delay", [-1.0, 0.0, 0.001])
def test_due(pause: Callable[[int, float], None], delay: float) -> None:
    """What nobody wakes goes on when it is due."""
    pause(ITEM, delay)
    assert not loops.any_held()
