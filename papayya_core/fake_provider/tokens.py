"""The stand-in's tokens: runs of up to eight word characters, and single punctuation marks."""

from __future__ import annotations

import re
from itertools import pairwise

_TOKEN = re.compile(r"\w{1,8}|[^\w\s]")


def count(text: str) -> int:
    """Count the tokens of a text; never more than it has bytes."""
    return len(_TOKEN.findall(text))


def cut(text: str, tokens: int) -> str:
    """Keep the first tokens of a text."""
    if tokens <= 0:
        return ""
    for number, token in enumerate(_TOKEN.finditer(text), start=1):
        if number == tokens:
            return text[: token.end()]
    return text


def pieces(text: str, most: int = 48) -> list[str]:
    """Split a text at token ends into at most `most` pieces that join to the text."""
    ends = [token.end() for token in _TOKEN.finditer(text)]
    if not ends:
        return [text] if text else []
    size = max(3, -(-len(ends) // most))
    marks = [0, *ends[size - 1 : -1 : size], len(text)]
    return [text[start:end] for start, end in pairwise(marks) if end > start]
