"""What goes into a checkpoint comes back the same, and of the same type.

``encode`` gives JSON text that Postgres keeps unchanged in a ``json`` or ``text`` column. What JSON
has no word for is written as a dict with one key that starts with ``$``, for instance
``{"$date": "2026-11-21"}``. Start reading at ``pack``; ``restore`` is its mirror.

The text is stored for years and step keys are hashes of it: add tags, never change one.
"""

from __future__ import annotations

from papayya_core.codec.bodies import compress, expand
from papayya_core.codec.digests import arguments_digest, digest
from papayya_core.codec.failures import Undecodable, Unencodable
from papayya_core.codec.pack import MAX_DEPTH, Encoders
from papayya_core.codec.text import decode, encode
from papayya_core.codec.views import plain

__all__ = [
    "MAX_DEPTH",
    "Encoders",
    "Undecodable",
    "Unencodable",
    "arguments_digest",
    "compress",
    "decode",
    "digest",
    "encode",
    "expand",
    "plain",
]
