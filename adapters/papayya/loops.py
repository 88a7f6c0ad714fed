"""Which items the loops of this process hold back, so that the local carrier can wake them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

_mutex = threading.Lock()
_held: dict[int, Callable[[], None] | None] = {}
_woken: set[int] = set()


def hold(item_id: int, call: Callable[[], None] | None = None) -> None:
    """Say that a loop of this process holds an item back; ``call``: when somebody wakes it."""
    with _mutex:
        _held[item_id] = call
        _woken.discard(item_id)


def wake(item_id: int) -> None:
    """Ask the loop that holds an item to go on with it; nothing happens if none does."""
    with _mutex:
        if item_id not in _held:
            return
        _woken.add(item_id)
        call = _held[item_id]
    if call is not None:
        call()


def any_woken() -> bool:
    """Tell whether somebody asked for any item that is held back."""
    return bool(_woken)


def is_woken(item_id: int) -> bool:
    """Tell whether somebody asked for an item that is held back."""
    return item_id in _woken


def let_go(item_id: int) -> None:
    """Say that the item is held back no more."""
    with _mutex:
        _held.pop(item_id, None)
        _woken.discard(item_id)


def pause(item_id: int, delay: float) -> None:
    """Hold an item back for so many seconds, or until somebody wakes it."""
    woken = threading.Event()
    hold(item_id, woken.set)
    try:
        woken.wait(min(delay, threading.TIMEOUT_MAX))
    finally:
        let_go(item_id)


async def pause_async(item_id: int, delay: float) -> None:
    """Do what ``pause`` does, in a task."""
    woken, loop = asyncio.Event(), asyncio.get_running_loop()

    def call() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(woken.set)

    hold(item_id, call)
    try:
        async with asyncio.timeout(delay):
            await woken.wait()
    except TimeoutError:
        pass
    finally:
        let_go(item_id)


def held() -> list[int]:
    """Name the items that loops of this process hold back."""
    with _mutex:
        return list(_held)


def any_held() -> bool:
    """Tell whether any loop of this process holds an item back."""
    return bool(_held)
