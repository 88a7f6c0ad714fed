"""AWS's binary event streams, and the server-sent events that the journal keeps of them."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from papayya_llm.framing import AmazonEvents, Event, ServerSent

TYPE = "application/vnd.amazon.eventstream"
_TEXT, _AROUND = 7, 16


def is_named(headers: Iterable[tuple[str, str]]) -> bool:
    """Tell whether a body is one, as its headers say."""
    return any(name.lower() == "content-type" and value.startswith(TYPE) for name, value in headers)


def text(data: bytes) -> bytes:
    """Turn what AWS sent into what the journal keeps."""
    return b"".join(_as_text(event) for event in AmazonEvents().feed(data))


def _as_text(event: Event) -> bytes:
    line = json.dumps(event.data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event.name}\ndata: {line}\n\n".encode()


def binary(data: bytes) -> bytes:
    """Turn what the journal keeps into what AWS sends."""
    return b"".join(_as_frame(event) for event in ServerSent().feed(data) if event.name)


def _as_frame(event: Event) -> bytes:
    payload = json.dumps(event.data, ensure_ascii=False, separators=(",", ":")).encode()
    told = (
        (":event-type", event.name or ""),
        (":content-type", "application/json"),
        (":message-type", "event"),
    )
    headers = b"".join(_header(name, value) for name, value in told)
    sizes = struct.pack(">II", len(headers) + len(payload) + _AROUND, len(headers))
    whole = sizes + struct.pack(">I", zlib.crc32(sizes)) + headers + payload
    return whole + struct.pack(">I", zlib.crc32(whole))


def _header(name: str, value: str) -> bytes:
    key, said = name.encode(), value.encode()
    return bytes([len(key)]) + key + struct.pack(">BH", _TEXT, len(said)) + said


class Raw(io.BytesIO):
    """A whole body, as urllib3 offers a body."""

    def stream(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:
        """Give what is left of it."""
        if rest := self.read():
            yield rest


class Wire:
    """A body while it comes; everything but its pieces and its end is asked of the body itself."""

    def __init__(
        self, raw: Any, pieces: Callable[[], Iterator[bytes]], close: Callable[[], None]
    ) -> None:
        self._raw = raw
        self._pieces = pieces
        self.close = close

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """Give its pieces as they come."""
        return self._pieces()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)
