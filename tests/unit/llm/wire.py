"""Streams written by hand, and a way to hear them."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

from papayya_core.call import Answered
from papayya_llm.schemas import Schema
from papayya_llm.streams import Watched, Watcher


def sse(*datas: Any, named: bool = False, end: str = "\n") -> bytes:
    """Write events; ``named``: with their type as the event's name. Text goes as it is."""
    frames = []
    for data in datas:
        head = f"event: {data['type']}{end}" if named and isinstance(data, dict) else ""
        body = data if isinstance(data, str) else json.dumps(data)
        frames.append(f"{head}data: {body}{end}{end}")
    return "".join(frames).encode()


def amazon(name: str, payload: Any, kind: str = ":event-type") -> bytes:
    """Write a frame of AWS's event stream."""
    pairs = ((kind, name), (":content-type", "application/json"))
    headers = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for key, value in pairs
    )
    body = json.dumps(payload).encode()
    head = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    head += struct.pack(">I", zlib.crc32(head))
    whole = head + headers + body
    return whole + struct.pack(">I", zlib.crc32(whole))


def wrapped(event: Any) -> dict[str, str]:
    """Wrap an event as InvokeModel's streams do."""
    return {"bytes": base64.b64encode(json.dumps(event).encode()).decode()}


def hear(schema: Schema, *events: Any) -> Answered:
    """Let a listener hear parsed events."""
    listener = schema.stream()
    for event in events:
        listener.feed(None, event)
    return listener.done()


def watch(watcher: Watcher, stream: bytes, size: int = 1 << 20) -> tuple[bytes, Watched]:
    """Send a stream past a watcher in chunks of a size; give what the caller sees, and the facts."""
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    seen = b"".join(watcher.feed(piece) for piece in pieces) + watcher.flush()
    return seen, watcher.finish()
