"""The few primitives in which asynchronous and threaded code differ: the threaded side."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from papayya_core.errors import PapayyaError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

sleep = time.sleep
Mutex = threading.Lock


def can_sleep() -> bool:
    """Tell whether others of this item get on while the caller sleeps: not those of a loop here."""
    return asyncio._get_running_loop() is None  # noqa: SLF001 - its public twin raises instead


class Signal:
    """Set by somebody else, waited for by one. A bare lock costs less than an Event."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Let the waiter go on."""
        if self._lock.locked():  # else it was set before, by one that was interrupted then
            self._lock.release()

    def wait(self) -> None:
        """Return once it is set."""
        self._lock.acquire()


def finish(fn: Callable[[], T]) -> T:
    """Run a write to its end even if something arrives meanwhile: it is paid work.

    Ctrl-C, or a time limit that a signal handler raises anywhere. What is interrupted is sent
    again; every write of the contract may be sent twice.
    """
    try:
        return fn()
    except PapayyaError:
        raise
    except BaseException:
        fn()
        raise


def claim(fn: Callable[[], T], give_back: Callable[[T], object]) -> T:
    """Make a claim; if something arrives meanwhile (see ``finish``), give back what it got.

    A claim that was interrupted is asked again: it may be sent twice, and gets the same answer.
    """
    try:
        return fn()
    except PapayyaError:
        raise
    except BaseException:
        give_back(fn())
        raise


def aside(fn: Callable[[], object]) -> None:
    """Run something slow; other threads go on by themselves."""
    fn()


def call(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call user code. Refuses what must be awaited before it is taken for a result."""
    value = fn(*args, **kwargs)
    if hasattr(type(value), "__await__"):
        if inspect.iscoroutine(value):
            value.close()
        msg = (
            f"{getattr(fn, '__name__', fn)} returned something to await. Pass the async function "
            "itself and await run.task(…)"
        )
        raise TypeError(msg)
    return value
