"""What encoding and decoding may raise, and nothing else."""

from __future__ import annotations

from papayya_core.errors import PapayyaError


class Unencodable(PapayyaError):
    """A value, or a part of it, cannot be kept exactly.

    ``path`` leads to the part (``$.rows[3].file``), ``type_name`` is the part's type, and
    ``reason`` says why and what to do.
    """

    def __init__(self, path: str, type_name: str, reason: str) -> None:
        super().__init__(path, type_name, reason)
        self.path = path
        self.type_name = type_name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} ({self.type_name}) cannot be kept in a checkpoint: {self.reason}"


class Undecodable(PapayyaError):
    """Stored text does not give back the value it was written from; ``why`` says what to do."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Refused(Exception):
    """The value in hand cannot be kept; whoever knows the path turns this into Unencodable."""


def type_name(kind: type) -> str:
    """Name a type for people and for step keys: ``int``, ``decimal.Decimal``."""
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
