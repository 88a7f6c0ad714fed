"""The part of docs/benchmarks.md that a measurement writes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def put(name: str, lines: Iterable[str]) -> None:
    """Put lines between the marks of this name, instead of what is there."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = DOCUMENT.read_text(encoding="utf-8")
    first, last = text.index(begin) + len(begin), text.index(end)
    said = "\n" + "\n".join(lines) + "\n"
    DOCUMENT.write_text(text[:first] + said + text[last:], encoding="utf-8")
