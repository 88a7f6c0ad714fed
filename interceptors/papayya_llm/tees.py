# Generated from interceptors/papayya_llm/tees_async.py by tools/unasync.py: do not edit, run `make generate`.
"""A stream that is listened to while it passes: unbuffered, and settled once, however it ends."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from types import ModuleType
from typing import Any, Self

from papayya_llm.recording import end
from papayya_llm.watches import Watch


class Tee:
    """The body of an answer, in the place of the one that the client has received."""

    def __init__(self, body: Any, watch: Watch) -> None:
        self._body = body
        self._watch = watch
        self._chunks: Iterator[bytes] | None = None
        self._tail = False
        self._broken: Exception | None = None

    def __iter__(self) -> Self:
        self._chunks = self._body.__iter__()
        return self

    def __next__(self) -> bytes:
        while True:
            passed = self._next()
            if passed:
                return passed

    def _next(self) -> bytes:
        """Return what is to be passed on of the next piece, maybe nothing."""
        if self._broken is not None:
            raise self._broken
        if self._tail or self._chunks is None:
            raise StopIteration
        try:
            chunk = self._chunks.__next__()
        except StopIteration:
            self._tail = True
            rest = self._watch.tail()
            end(self._watch, None)
            return rest
        except BaseException as error:
            end(self._watch, error)
            raise
        passed = self._watch.feed(chunk)
        if self._watch.is_over(chunk):
            end(self._watch, None)
        elif self._watch.is_nearly_over(chunk):
            passed += self._ahead()
        return passed

    def _ahead(self) -> bytes:
        """Read what follows at once: some callers stop before it, and never close."""
        try:
            return self._next()
        except Exception as error:  # noqa: BLE001 - it is not theirs yet
            self._broken = error
            return b""

    def close(self) -> None:
        """Leave the stream, read to its end or not."""
        try:
            if isinstance(self._chunks, Generator):
                with suppress(RuntimeError, ValueError):  # somebody else is reading right now
                    self._chunks.close()
            self._body.close()
        finally:
            end(self._watch, None)

    @property
    def elapsed(self) -> timedelta | None:
        """The time that it took, known once it is closed."""
        found: timedelta | None = getattr(self._body, "elapsed", None)
        return found

    def __del__(self) -> None:
        self._watch.abandon()


def tee(library: ModuleType, body: Any, watch: Watch) -> Any:
    """Put a tee over a body, of the class that the library insists on."""
    return class_of(library)(body, watch)


@lru_cache
def class_of(library: ModuleType) -> Any:
    """Make the class for a library, once."""
    return type("Tee", (Tee, library.SyncByteStream), {})
