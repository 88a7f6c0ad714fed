"""Named statements, read from the .sql files beside this module."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def statements(file: str = "statements.sql") -> dict[str, LiteralString]:
    """Return the statements of one file by name, without their comments.

    The text comes from the package, never from a user.
    """
    text = files(__package__ or __name__).joinpath(file).read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    return {name: _body(part) for name, part in zip(parts[::2], parts[1::2], strict=True)}


def _body(part: str) -> str:
    lines = [line for line in part.splitlines() if line.strip() and not line.startswith("--")]
    return "\n".join(lines).rstrip(";")
