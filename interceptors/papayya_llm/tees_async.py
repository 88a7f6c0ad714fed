"""A stream that is listened to while it passes: unbuffered, and settled once, however it ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from types import ModuleType
from typing import Any, Self

from papayya_llm.recording_async import end_async
from papayya_llm.watches import Watch


class AsyncTee:
    """The body of an answer, in the place of the one that the client has received."""

    def __init__(self, body: Any, watch: Watch) -> None:
        self._body = body
        self._watch = watch
        self._chunks: AsyncIterator[bytes] | None = None
        self._tail = False
        self._broken: Exception | None = None

    def __aiter__(self) -> Self:
        self._chunks = self._body.__aiter__()
        return self

    async def __anext__(self) -> bytes:
        while True:
            passed = await self._next()
            if passed:
                return passed

    async def _next(self) -> bytes:
        """Return what is to be passed on of the next piece, maybe nothing."""
        if self._broken is not None:
            raise self._broken
        if self._tail or self._chunks is None:
            raise StopAsyncIteration
        try:
            chunk = await self._chunks.__anext__()
        except StopAsyncIteration:
            self._tail = True
            rest = self._watch.tail()
            await end_async(self._watch, None)
            return rest
        except BaseException as error:
            await end_async(self._watch, error)
            raise
        passed = self._watch.feed(chunk)
        if self._watch.is_over(chunk):
            await end_async(self._watch, None)
        elif self._watch.is_nearly_over(chunk):
            passed += await self._ahead()
        return passed

    async def _ahead(self) -> bytes:
        """Read what follows at once: some callers stop before it, and never close."""
        try:
            return await self._next()
        except Exception as error:  # noqa: BLE001 - it is not theirs yet
            self._broken = error
            return b""

    async def aclose(self) -> None:
        """Leave the stream, read to its end or not."""
        try:
            if isinstance(self._chunks, AsyncGenerator):
                with suppress(RuntimeError, ValueError):  # somebody else is reading right now
                    await self._chunks.aclose()
            await self._body.aclose()
        finally:
            await end_async(self._watch, None)

    @property
    def elapsed(self) -> timedelta | None:
        """The time that it took, known once it is closed."""
        found: timedelta | None = getattr(self._body, "elapsed", None)
        return found

    def __del__(self) -> None:
        self._watch.abandon()


def tee_async(library: ModuleType, body: Any, watch: Watch) -> Any:
    """Put a tee over a body, of the class that the library insists on."""
    return class_of_async(library)(body, watch)


@lru_cache
def class_of_async(library: ModuleType) -> Any:
    """Make the class for a library, once."""
    return type("AsyncTee", (AsyncTee, library.AsyncByteStream), {})
