"""Streamed answers, read as they go by: the caller's bytes first, what they say second.

A ``Watcher`` never raises: what goes wrong in here is told at its end, and the bytes pass on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from papayya_core.call import Answered
from papayya_llm.decoding import Decoder
from papayya_llm.framing import (
    BOM,
    AmazonEvents,
    Cutter,
    Event,
    JsonArray,
    ServerSent,
    parse,
    read_json,
)
from papayya_llm.schemas.base import Schema

KEPT = 8 * 1024 * 1024
"""Bytes of an answer that are kept for the journal; a longer one is read, not kept."""
HELD_BACK = 64 * 1024
"""Bytes of one event that a filter holds back to read it; usage alone is far shorter."""
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')


def is_usage_only(raw: bytes) -> bool:
    """Whether an event is the one that ``include_usage`` adds: no choices, but usage."""
    if _NO_CHOICES.search(raw) is None:
        return False
    data = parse(raw.removeprefix(BOM)).data
    return isinstance(data, dict) and data.get("choices") == [] and bool(data.get("usage"))


class Filter:
    """Takes the usage-only chunk out of a chat stream; every other byte passes as it was."""

    def __init__(self) -> None:
        self._cut = ServerSent(HELD_BACK, unread=True)
        self._dropped = False

    def feed(self, data: bytes) -> bytes:
        """Give what may pass; an event is held back until its end shows what it is."""
        return b"".join(event.raw for event in self._cut.feed(data) if self._passes(event))

    def _passes(self, event: Event) -> bool:
        if not event.follows:
            self._dropped = is_usage_only(event.raw)
        return not self._dropped

    def rest(self) -> bytes:
        """Give what an end without a blank line held back."""
        return b"".join(event.raw for event in self._cut.rest() if self._passes(event))

    @property
    def held(self) -> bytes:
        """What has not passed yet."""
        return self._cut.pending


def without_usage(body: bytes) -> bytes:
    """Take the usage-only chunk out of a whole recorded stream."""
    sieve = Filter()
    return sieve.feed(body) + sieve.rest()


@dataclass(frozen=True, slots=True)
class Watched:
    """What a stream said. ``answered`` None: it could not be read, and ``error`` says why.

    ``body``: its decoded bytes, None when they were too many, or not decoded.
    """

    answered: Answered | None
    body: bytes | None
    error: str | None = None


class Watcher:
    """Reads a streamed answer as it goes by.

    ``wrote``: whether output has been seen (look after each ``feed``, for the time to the first
    token). ``whole``: whether its end has been seen; the caller may stop reading there.
    """

    def __init__(
        self,
        schema: Schema,
        content_type: str = "text/event-stream",
        content_encoding: str = "",
        *,
        drop_usage: bool = False,
        keep: int = KEPT,
    ) -> None:
        self.wrote = False
        self.error: str | None = None
        self._schema = schema
        self._keep = keep
        self._kept: list[bytes] | None = []
        self._size = 0
        plain = content_encoding.strip().lower() in {"", "identity"}
        self._filter = Filter() if drop_usage and plain else None
        self._listener = schema.stream()
        self._cut = _cutter(content_type)
        self._decode: Decoder | None = None
        try:
            self._decode = Decoder(content_encoding)
        except LookupError as error:
            self._fail(error)

    def feed(self, chunk: bytes) -> bytes:
        """Take what came; give what the caller is to see of it."""
        passed = self._sift(chunk)
        self._observe(chunk)
        return passed

    def _sift(self, chunk: bytes) -> bytes:
        """Filter; when that fails, everything that has not passed yet passes."""
        if self._filter is None:
            return chunk
        held = self._filter.held
        try:
            return self._filter.feed(chunk)
        except Exception as error:  # noqa: BLE001
            self._filter = None
            self._fail(error)
            return held + chunk

    def _observe(self, chunk: bytes) -> None:
        if self.error is not None or self._decode is None:
            return
        try:
            for piece in self._decode.feed(chunk):
                self._store(piece)
                self._hear(self._cut.feed(piece))
        except Exception as error:  # noqa: BLE001
            self._fail(error)

    def _hear(self, events: list[Event]) -> None:
        for event in events:
            if event.data is not None and self._listener.feed(event.name, event.data):
                self.wrote = True

    def _store(self, piece: bytes) -> None:
        """Keep a copy, within the limit."""
        self._size += len(piece)
        if self._size > self._keep:
            self._kept = None
        if self._kept is not None:
            self._kept.append(piece)

    def _fail(self, error: Exception) -> None:
        """Stop reading; the first error is the one that counts."""
        self.error = self.error or f"observer_error: {type(error).__name__}: {error}"
        self._kept = None

    @property
    def whole(self) -> bool:
        """Whether the end of the answer has been seen."""
        try:
            return self.error is None and self._listener.done().whole
        except Exception as error:  # noqa: BLE001
            self._fail(error)
            return False

    def flush(self) -> bytes:
        """At the stream's own end: give what was held back, and read what had no end mark."""
        left = b""
        if self._filter is not None:
            held = self._filter.held
            try:
                left = self._filter.rest()
            except Exception as error:  # noqa: BLE001
                self._fail(error)
                left = held
        if self.error is None:
            try:
                self._hear(self._cut.rest())
            except Exception as error:  # noqa: BLE001
                self._fail(error)
        return left

    def finish(self) -> Watched:
        """Say what was read, at the end or wherever the caller left."""
        if self.error is not None:
            return Watched(None, None, self.error)
        try:
            body = None if self._kept is None else b"".join(self._kept)
            return Watched(self._answered(body), body)
        except Exception as error:  # noqa: BLE001
            self._fail(error)
            return Watched(None, None, self.error)

    def _answered(self, body: bytes | None) -> Answered:
        """Read a plain answer from a server that did not stream after all."""
        plain = isinstance(self._cut, JsonArray) and not self._cut.array
        if plain and body is not None and isinstance(told := read_json(body), dict):
            return self._schema.answer(told)
        return self._listener.done()


def _cutter(content_type: str) -> Cutter:
    """Choose how to cut by the content type; nothing said means events."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/vnd.amazon.eventstream":
        return AmazonEvents()
    return JsonArray() if kind.endswith("json") else ServerSent()
