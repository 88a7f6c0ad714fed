"""The few primitives in which asynchronous and threaded code differ: the asynchronous side.

``papayya_core.sync`` holds the same names for the generated twins.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

sleep = asyncio.sleep


def can_sleep() -> bool:
    """Tell whether others of this item get on while the caller sleeps."""
    return True


class Mutex:
    """Guards a few statements without an await between them: on one loop nothing is needed."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        return None


class Signal:
    """Set once by somebody else, waited for by one."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Let the waiter go on."""
        self._event.set()

    async def wait(self) -> None:
        """Return once it is set."""
        await self._event.wait()


async def finish(fn: Callable[[], Awaitable[T]]) -> T:
    """Run a write to its end even if the caller is cancelled meanwhile: it is paid work.

    At the end of ``asyncio.run`` it is cancelled with its caller; then it is sent again. Every write
    of the contract may be sent twice.
    """
    task = asyncio.ensure_future(fn())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if task.cancelled():
            await asyncio.wait([asyncio.ensure_future(fn())])
        raise


async def claim(fn: Callable[[], Awaitable[T]], give_back: Callable[[T], Awaitable[object]]) -> T:
    """Run a claim to its end; if the caller is cancelled meanwhile, give back what it got."""
    task = asyncio.ensure_future(fn())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:  # which may come again, and more than once
        await asyncio.wait([asyncio.ensure_future(_return(task, fn, give_back))])
        raise


async def _return(
    task: asyncio.Future[T],
    fn: Callable[[], Awaitable[T]],
    give_back: Callable[[T], Awaitable[object]],
) -> None:
    """Give back what a task gets, unless it gets nothing; ask again where it was cancelled too."""
    await asyncio.wait([task])
    if task.cancelled():
        await give_back(await fn())
    elif task.exception() is None:
        await give_back(task.result())


async def aside(fn: Callable[[], object]) -> None:
    """Run something slow without holding up the loop."""
    await asyncio.to_thread(fn)


async def call(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call user code, and await what it returns if that is awaitable."""
    value = fn(*args, **kwargs)
    return await value if hasattr(type(value), "__await__") else value
