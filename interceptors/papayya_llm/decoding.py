"""Content encodings, taken off a copy of a stream while the stream itself goes by."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

_PIECE = 64 * 1024


class Decoder:
    """Takes off a content encoding: gzip or deflate. LookupError for one that we cannot."""

    def __init__(self, encoding: str) -> None:
        self._kind = encoding.strip().lower()
        if self._kind not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            raise LookupError(f"the encoding {self._kind!r} is not read")
        self._inflate: Any = None
        self._ended = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decode, in pieces of a bounded size. ValueError: it isn't what it is said to be."""
        if self._kind in {"", "identity"}:
            yield data
            return
        more = bool(data)
        while more and not self._ended:
            piece, data = self._piece(data)
            yield piece
            more = bool(data) or len(piece) == _PIECE

    def _piece(self, data: bytes) -> tuple[bytes, bytes]:
        """Decode a piece; give it with what is left. A stream may have several members."""
        self._inflate = self._inflate or self._start(data)
        try:
            piece: bytes = self._inflate.decompress(data, _PIECE)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        if not self._inflate.eof:
            return piece, self._inflate.unconsumed_tail
        left: bytes = self._inflate.unused_data
        self._inflate, self._ended = None, self._kind == "deflate"
        return piece, left

    def _start(self, data: bytes) -> Any:
        """Begin a member; deflate comes with zlib's header, or bare."""
        if self._kind != "deflate":
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        zlib_header = data[:1] and data[0] & 0x0F == zlib.DEFLATED
        return zlib.decompressobj(zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS)
