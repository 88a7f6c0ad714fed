"""Messages of Amazon's binary event streams: lengths, headers, payload, and two checksums."""

from __future__ import annotations

import json
from collections.abc import Mapping
from struct import pack
from zlib import crc32

from papayya_core.fake_provider.ask import JsonObject

MEDIA_TYPE = "application/vnd.amazon.eventstream"
_TEXT = 7
_FRAME = 16  # two lengths and two checksums, of four bytes each


def event(kind: str, value: JsonObject) -> bytes:
    """Write one event with a JSON payload."""
    headers = {
        ":event-type": kind,
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return message(headers, json.dumps(value, separators=(",", ":")).encode())


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Write one message with headers of text."""
    named = b"".join(_header(name, value) for name, value in headers.items())
    prelude = pack(">II", _FRAME + len(named) + len(payload), len(named))
    checked = prelude + pack(">I", crc32(prelude)) + named + payload
    return checked + pack(">I", crc32(checked))


def _header(name: str, value: str) -> bytes:
    """Write one header."""
    key, text = name.encode(), value.encode()
    return pack(">B", len(key)) + key + pack(">BH", _TEXT, len(text)) + text
