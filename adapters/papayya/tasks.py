"""The tasks of a map on an event loop: so many at a time, tenants in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from papayya import loops
from papayya.items_async import Later
from papayya.submissions import Job
from papayya.turns import Turns

Attempt = Callable[[Job], Awaitable[Any]]


class Tasks:
    """Runs jobs in tasks, at most ``concurrency`` at a time."""

    def __init__(self, attempt: Attempt, concurrency: int) -> None:
        self._attempt = attempt
        self._free = concurrency
        self._line: Turns[asyncio.Future[None]] = Turns()
        self._tasks: set[asyncio.Task[None]] = set()
        self.exhausted = False  # the input, not the tasks
        self.out: asyncio.Queue[tuple[Job, Any]] = asyncio.Queue(maxsize=concurrency * 4)

    def add(self, job: Job) -> None:
        task = asyncio.ensure_future(self._run(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, job: Job) -> None:
        try:
            result = await self._until_ended(job)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the map raises it
            result = error
        await self.out.put((job, result))

    async def _until_ended(self, job: Job) -> Any:
        back = False
        while True:
            await self._enter(job.tenant, back=back)
            try:
                result = await self._attempt(job)
            finally:
                self._leave()
            if not isinstance(result, Later):
                return result
            await loops.pause_async(job.item_id, result.delay)
            back = True

    async def _enter(self, tenant: str, *, back: bool) -> None:
        """Wait for a slot; tenants take turns, and what comes back from a wait goes first."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._line.put(tenant, turn, first=back)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        while True:
            try:
                turn = self._line.take()
            except LookupError:
                self._free += 1
                return
            if not turn.done():
                turn.set_result(None)
                return

    def waiting(self) -> int:
        return len(self._tasks)

    async def cancel(self) -> None:
        """Stop all tasks; each puts its item back into the queue."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
