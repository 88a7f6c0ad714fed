"""Text as bytes for the payload table."""

from __future__ import annotations

import zlib

from papayya_core.codec.failures import Undecodable

RAW, ZLIB = 0, 1
WORTHWHILE = 2048  # bytes


def compress(text: str) -> tuple[int, bytes]:
    """Give the codec's number and the body, compressed if that makes it smaller."""
    raw = text.encode()
    if len(raw) < WORTHWHILE:
        return RAW, raw
    packed = zlib.compress(raw, 1)
    return (ZLIB, packed) if len(packed) < len(raw) else (RAW, raw)


def expand(codec: int, body: bytes) -> str:
    """Give the text back; raise Undecodable for a damaged body or a codec from the future."""
    if codec not in (RAW, ZLIB):
        raise Undecodable(f"payload codec {codec} is unknown here; upgrade Papayya")
    try:
        return (zlib.decompress(body) if codec == ZLIB else bytes(body)).decode()
    except (zlib.error, UnicodeDecodeError) as exc:
        raise Undecodable(f"the stored payload is damaged: {exc}") from exc
