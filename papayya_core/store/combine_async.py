"""Leader/follower batching: concurrent checkpoints share a statement and its commit.

The first caller flushes for all that wait; when it is done it hands the waiting ones to one of
them. There is no background thread, no timer and no wait for company: alone, a caller pays for
exactly one statement. At most ``lanes`` flushes are in flight, and another one only starts when
more than ``company`` rows wait for each that is: larger batches cost less per row.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from papayya_core.aio import Mutex, Signal
from papayya_core.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
R = TypeVar("R")


class _Waiter(Generic[T, R]):
    """A row on its way, and what came of it. ``batch``: this caller is to flush these."""

    __slots__ = ("batch", "done", "error", "left", "result", "row", "signal", "successor")

    def __init__(self, row: T) -> None:
        self.row = row
        self.signal: Signal | None = None
        self.batch: list[_Waiter[T, R]] | None = None
        self.done = False
        self.left = False
        self.successor: _Waiter[T, R] | None = None
        self.result: Any = None
        self.error: Exception | None = None


class AsyncCombiner(Generic[T, R]):
    """Collects rows of concurrent callers into calls of ``flush(rows) -> results``."""

    def __init__(
        self,
        flush: Callable[[list[T]], Awaitable[list[R]]],
        lanes: int,
        company: int = 12,
        limit: int = 256,
    ) -> None:
        self._flush = flush
        self._lanes = lanes
        self._company = company
        self._limit = limit
        self._mutex = Mutex()
        self._pending: list[_Waiter[T, R]] = []
        self._busy = 0

    async def submit(self, row: T) -> R:
        """Write one row, alone or with others; return its own result or raise its own error."""
        while True:
            me: _Waiter[T, R] = _Waiter(row)
            await self._take_part(me)
            if me.error is not None:
                raise me.error
            if me.done:  # else the flush was interrupted: the row goes again
                return me.result  # type: ignore[no-any-return]

    async def _take_part(self, me: _Waiter[T, R]) -> None:
        with self._mutex:
            self._pending.append(me)
            if self._busy < self._lanes and len(self._pending) > self._busy * self._company:
                self._busy += 1
                me.batch = self._next_batch()
            else:
                me.signal = Signal()
        if me.signal is not None:
            await self._follow(me, me.signal)
        if me.batch is not None:
            await self._lead(me, me.batch)

    def _next_batch(self) -> list[_Waiter[T, R]] | None:
        batch = self._pending[: self._limit]
        del self._pending[: self._limit]
        return batch or None

    async def _follow(self, me: _Waiter[T, R], signal: Signal) -> None:
        """Wait until somebody wrote the row or made this caller the leader."""
        try:
            await signal.wait()
            _wake_next(me)
        except BaseException:
            with self._mutex:
                me.left = True
                if me in self._pending:
                    self._pending.remove(me)
            _wake_next(me)
            if me.batch is not None:  # made the leader just now: the others rely on it
                await self._lead(me, me.batch)
            raise

    async def _lead(self, me: _Waiter[T, R], batch: list[_Waiter[T, R]]) -> None:
        """Flush a batch, wake its rows' callers, and hand over."""
        try:
            await self._write(batch)
        finally:
            self._hand_over()
            self._wake(me, batch)

    def _hand_over(self) -> None:
        with self._mutex:
            batch = self._next_batch()
            if batch is None:
                self._busy -= 1
                return
            heir = batch[0]
            heir.batch = batch
        if heir.signal is not None:
            heir.signal.set()

    def _wake(self, me: _Waiter[T, R], batch: list[_Waiter[T, R]]) -> None:
        """Wake the first, who wakes the next: woken together they would fight for the interpreter."""
        with self._mutex:
            waiters = [waiter for waiter in batch if waiter is not me and not waiter.left]
            for waiter, successor in pairwise(waiters):
                waiter.successor = successor
        if waiters and waiters[0].signal is not None:
            waiters[0].signal.set()

    async def _write(self, batch: list[_Waiter[T, R]]) -> None:
        """Flush a batch; if it is refused, row by row, so that a bad row fails alone."""
        try:
            results = await self._flush([waiter.row for waiter in batch])
        except Exception as error:  # noqa: BLE001 - raised where the row came from
            if len(batch) == 1 or isinstance(error, StoreUnavailable):
                for waiter in batch:
                    waiter.error = error
                return
            for waiter in batch:
                await self._write([waiter])
            return
        for waiter, result in zip(batch, results, strict=True):
            waiter.result, waiter.done = result, True


def _wake_next(me: _Waiter[T, R]) -> None:
    if me.successor is not None and me.successor.signal is not None:
        me.successor.signal.set()
