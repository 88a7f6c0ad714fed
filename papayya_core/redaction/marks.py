"""What stands in for a secret: ``[openai key …x3Fq]``."""

from __future__ import annotations

import re

MARK = re.compile(r"\[[a-z][a-z0-9 -]{1,40}(?: …[A-Za-z0-9]{4})?\]")
_TAIL, _TAIL_FROM = 4, 20


def mark(kind: str, secret: str, *, tail: bool = True) -> str:
    """Name the kind of a secret; of a long one, show the last four characters."""
    end = secret[-_TAIL:]
    if tail and len(secret) >= _TAIL_FROM and end.isascii() and end.isalnum():
        return f"[{kind} …{end}]"
    return f"[{kind}]"
