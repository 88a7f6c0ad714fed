"""Which items the loops of this process hold back, so that the local carrier can wake them."""

from __future__ import annotations

import threading

_mutex = threading.Lock()
_held: dict[int, bool] = {}


def hold(item_id: int) -> None:
    """Say that a loop of this process holds an item back."""
    with _mutex:
        _held[item_id] = False


def wake(item_id: int) -> None:
    """Ask the loop that holds an item to go on with it; nothing happens if none does."""
    with _mutex:
        if item_id in _held:
            _held[item_id] = True


def is_woken(item_id: int) -> bool:
    """Tell whether somebody asked for an item that is held back."""
    return _held.get(item_id, False)


def let_go(item_id: int) -> None:
    """Say that the item is held back no more."""
    with _mutex:
        _held.pop(item_id, None)


def held() -> list[int]:
    """Name the items that loops of this process hold back."""
    with _mutex:
        return list(_held)


def any_held() -> bool:
    """Tell whether any loop of this process holds an item back."""
    return bool(_held)
