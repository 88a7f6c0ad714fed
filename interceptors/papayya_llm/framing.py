"""How a stream is cut into events: server-sent events, a JSON array, AWS's event stream.

Each cutter takes bytes as they come, split anywhere, and keeps no more than one event.
"""

from __future__ import annotations

import json
import re
import struct
from typing import Any, NamedTuple, Protocol

MOST = 16 * 1024 * 1024
"""Bytes of one event that are kept; a longer one passes by unread."""
_BLANK = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event: its name, its data (parsed where it is JSON), and its bytes as they came.

    ``data`` None: it carries none (a comment, a blank line). ``follows``: it is no event, but the
    late half of the one before.
    """

    name: str | None
    data: Any
    raw: bytes
    follows: bool = False


class Cutter(Protocol):
    """Cuts a stream into events."""

    def feed(self, data: bytes) -> list[Event]:
        """Take what came; give the events that it completed."""
        ...

    def rest(self) -> list[Event]:
        """Give what an end without its mark left."""
        ...


class ServerSent:
    """Cuts ``text/event-stream``; the events' bytes, put together, are the stream.

    ``unread``: events are only cut, for one who looks at their bytes first.
    """

    def __init__(self, most: int = MOST, *, unread: bool = False) -> None:
        self._buffer = bytearray()
        self._most = most
        self._unread = unread
        self._after_cr = False
        self._skipping = False
        self._begun = False

    def feed(self, data: bytes) -> list[Event]:
        """Take what came; a carriage return ends a line at once, whatever follows."""
        if not data:
            return []
        found = []
        if self._after_cr and data.startswith(b"\n"):
            found.append(Event(None, None, b"\n", follows=True))
            data = data[1:]
        self._after_cr = False
        start = max(len(self._buffer) - 3, 0)
        self._buffer += data
        at = 0
        while (blank := _BLANK.search(self._buffer, max(start, at))) is not None:
            found.append(self._event(bytes(self._buffer[at : blank.end()])))
            at = blank.end()
        self._after_cr = bool(at) and at == len(self._buffer) and self._buffer.endswith(b"\r")
        del self._buffer[:at]
        return found + self._overflow()

    @property
    def pending(self) -> bytes:
        """The bytes of the event under way."""
        return bytes(self._buffer)

    def _overflow(self) -> list[Event]:
        """Let go of an event that is too long: its bytes go by, unread."""
        if len(self._buffer) <= self._most:
            return []
        self._skipping = True
        gone = bytes(self._buffer[:-3])
        del self._buffer[:-3]
        return [Event(None, None, gone)]

    def _event(self, raw: bytes) -> Event:
        """Read one event, unless its beginning is gone."""
        if self._skipping or self._unread:
            self._skipping = False
            return Event(None, None, raw)
        read = raw if self._begun else raw.removeprefix(BOM)
        self._begun = True
        return parse(read)._replace(raw=raw)

    def rest(self) -> list[Event]:
        """Give an event that the end of the stream cut off before its blank line."""
        left = self.pending
        self._buffer.clear()
        return [self._event(left)] if left else []


def parse(raw: bytes) -> Event:
    """Read the lines of one server-sent event."""
    name, lines = None, []
    for line in raw.splitlines():
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return Event(name or None, read_json(b"\n".join(lines)) if lines else None, raw)


def read_json(data: bytes) -> Any:
    """Read JSON; what is none stays text."""
    said = data.decode("utf-8", "replace")
    try:
        return json.loads(said)
    except (ValueError, RecursionError):
        return said


class JsonArray:
    """Cuts a JSON array into its elements, which Google streams where no events are asked for."""

    _MARKS = re.compile(rb'\\.?|["{}\[\]]', re.DOTALL)

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: list[bytes] = []
        self._size = 0
        self._depth = 0
        self._quoted = False
        self._escaped = False
        self.array = False

    def feed(self, data: bytes) -> list[Event]:
        """Take what came; count brackets outside of strings."""
        if not data:
            return []
        found, at = [], 0
        begin = 1 if self._escaped else 0
        self._escaped = False
        for mark in self._MARKS.finditer(data, begin):
            if not self._mark(mark[0]):
                continue
            if mark[0] in b"{[":
                at = mark.start()
            else:
                self._keep(data[at : mark.end()])
                found.append(self._element())
        if self.array and self._depth > 1:
            self._keep(data[at:])
        return found

    def _mark(self, mark: bytes) -> bool:
        """Take a mark; say whether an element of the array begins or ends there."""
        if mark.startswith(b"\\"):
            self._escaped = self._quoted and mark == b"\\"
        elif mark == b'"':
            self._quoted = not self._quoted
        elif not self._quoted and mark in b"{[":
            self.array = self.array or (self._depth == 0 and mark == b"[")
            self._depth += 1
            return self.array and self._depth == 2  # noqa: PLR2004
        elif not self._quoted:
            self._depth = max(self._depth - 1, 0)
            return self.array and self._depth == 1
        return False

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._most:
            self._kept.append(piece)

    def _element(self) -> Event:
        """Read an element, unless it was too long."""
        raw = b"".join(self._kept) if self._size <= self._most else b""
        self._kept, self._size = [], 0
        return Event(None, read_json(raw) if raw else None, raw)

    def rest(self) -> list[Event]:
        """Nothing: half an element says nothing."""
        return []


class AmazonEvents:
    """Cuts ``application/vnd.amazon.eventstream``: frames with a length, headers and a payload."""

    _FRAME = struct.Struct(">II")
    _AROUND = 16  # two lengths and two checksums
    _SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # noqa: RUF012
    _TEXT, _BYTES = 7, 6

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """Take what came. ValueError: it is no such stream."""
        self._pending += data
        found = []
        while len(self._pending) >= self._FRAME.size:
            total, headers = self._FRAME.unpack_from(self._pending)
            if not headers + self._AROUND <= total <= self._most:
                raise ValueError(f"a frame of {total} bytes with {headers} of headers")
            if len(self._pending) < total:
                break
            found.append(self._event(bytes(self._pending[:total]), headers))
            del self._pending[:total]
        return found

    def _event(self, raw: bytes, length: int) -> Event:
        """Read a frame: the event's type is in a header."""
        told = self._headers(raw[12 : 12 + length])
        name = told.get(":event-type") or told.get(":exception-type") or told.get(":error-code")
        return Event(name, read_json(raw[12 + length : -4]), raw)

    def _headers(self, data: bytes) -> dict[str, str]:
        """Read the headers that are text."""
        found, at = {}, 0
        while at < len(data):
            end = at + 1 + data[at]
            name, kind = data[at + 1 : end].decode("utf-8", "replace"), data[end]
            at = end + 1
            if kind in {self._TEXT, self._BYTES}:
                size = int.from_bytes(data[at : at + 2], "big")
                found[name] = data[at + 2 : at + 2 + size].decode("utf-8", "replace")
                at += 2 + size
            else:
                at += self._SIZES[kind]
        return found

    def rest(self) -> list[Event]:
        """Nothing: half a frame says nothing."""
        return []
