"""The connections of threads, lent to event loops that have none.

A task that runs an event loop for a few calls would open connections for it each time, which takes
longer than all else that is done for them.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from papayya_core.calls import Calls
from papayya_core.calls_async import AsyncCalls
from papayya_core.runtime import Runtime
from papayya_core.spool import Spool


async def calls_async(home: Runtime) -> AsyncCalls:
    """Return what records calls on the running event loop."""
    engine = home.engine_here()
    return engine.calls if engine else AsyncCalls(_Lent(home), home.plugins, home.settings)


def calls(home: Runtime) -> Calls:
    """Return what records calls in threads."""
    return home.engine().calls


class _Lent:
    """The statements of the threads' store, each run in a thread."""

    def __init__(self, home: Runtime) -> None:
        self._home = home

    @property
    def spool(self) -> Spool | None:
        """What the threads' store keeps while Postgres is away."""
        return self._home.engine().store.spool

    @property
    def patience(self) -> float:
        """For how long the threads' store waits."""
        return self._home.engine().store.patience

    async def fetch(
        self, name: str, params: Any, patience: float | None = None, *, cut: bool = False
    ) -> list[Any]:
        """Run a statement to its end, also when cancelled: nothing else ends a thread's.

        It runs in a task of its own: who waits for that hears of the cancellation by itself.
        """
        loop, run = asyncio.get_running_loop(), contextvars.copy_context().run
        threads = _threads(self._home.settings.pool_size)
        done = loop.run_in_executor(threads, run, self._fetch, name, params, patience, cut)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            await asyncio.wait([done])
            return done.result()

    def _fetch(self, name: str, params: Any, patience: float | None, cut: bool) -> list[Any]:
        return self._home.engine().store.fetch(name, params, patience, cut=cut)


@cache
def _threads(number: int) -> ThreadPoolExecutor:
    """Make threads of our own: those of the loop may all be waiting for a call."""
    return ThreadPoolExecutor(number, thread_name_prefix="papayya-calls")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)
