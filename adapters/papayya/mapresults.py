"""What ``map`` and ``amap`` return: iterators that say so when nobody reads them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import TYPE_CHECKING, Any, Self

from papayya_core import redaction
from papayya_core.contract import ItemResult

if TYPE_CHECKING:
    from papayya.unread import Reading

logger = redaction.logger("papayya")


class MapResults(Iterator[ItemResult]):
    """The results of a map, as they come. Nothing is submitted before the first is asked for."""

    def __init__(self, reading: Reading, results: Generator[ItemResult, Any, Any]) -> None:
        self._reading = reading
        self._results = results

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ItemResult:
        self._reading.begun = True
        return next(self._results)

    def close(self) -> None:
        """Start nothing more, and wait for what is under way."""
        self._reading.begun = True
        self._results.close()

    def __del__(self) -> None:
        _warn(self._reading)


class AsyncMapResults(AsyncIterator[ItemResult]):
    """The results of an ``amap``, as they come. Nothing is submitted before the first is awaited."""

    def __init__(self, reading: Reading, results: AsyncGenerator[ItemResult, Any]) -> None:
        self._reading = reading
        self._results = results

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ItemResult:
        self._reading.begun = True
        return await anext(self._results)

    async def aclose(self) -> None:
        """Cancel what is under way; its items go back into the queue."""
        self._reading.begun = True
        await self._results.aclose()

    def __del__(self) -> None:
        _warn(self._reading)


def _warn(reading: Reading) -> None:
    if not reading.begun:
        with contextlib.suppress(Exception):  # at the interpreter's end nothing is certain
            logger.warning(
                "map of %r was never read; nothing was submitted: iterate over it", reading.agent
            )
