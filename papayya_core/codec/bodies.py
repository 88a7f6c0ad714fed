"""Text and bytes for the payload table."""

from __future__ import annotations

import zlib

from papayya_core.codec.failures import Undecodable

RAW, ZLIB = 0, 1
WORTHWHILE = 2048  # bytes


def compress(data: bytes) -> tuple[int, bytes]:
    """Give the codec's number and the body, compressed if that makes it smaller."""
    if len(data) < WORTHWHILE:
        return RAW, data
    packed = zlib.compress(data, 1)
    return (ZLIB, packed) if len(packed) < len(data) else (RAW, data)


def expand(codec: int, body: bytes) -> bytes:
    """Give the bytes back; raise Undecodable for a damaged body or a codec from the future."""
    if codec not in (RAW, ZLIB):
        raise Undecodable(f"payload codec {codec} is unknown here; upgrade Papayya")
    try:
        return zlib.decompress(body) if codec == ZLIB else bytes(body)
    except zlib.error as exc:
        raise Undecodable(f"the stored payload is damaged: {exc}") from exc
