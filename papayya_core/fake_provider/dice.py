"""Deterministic choices: a die with the same key always rolls the same number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")
_RANGE = 2**64


@dataclass(frozen=True, slots=True)
class Dice:
    """One roll, fixed by its key; `child` gives an independent one."""

    key: bytes

    @classmethod
    def of(cls, *parts: object) -> Dice:
        """Make a die from any printable parts."""
        return cls(b"").child(*parts)

    def child(self, *parts: object) -> Dice:
        """Derive a die that depends on this one and on the parts."""
        text = "\x1f".join(str(part) for part in parts).encode("utf-8", "surrogatepass")
        return Dice(blake2b(text, key=self.key, digest_size=16).digest())

    def number(self, below: int) -> int:
        """Roll an integer from 0 to below - 1."""
        return int.from_bytes(self.key[:8], "big") * below // _RANGE

    def unit(self) -> float:
        """Roll a float from 0.0 up to, but not including, 1.0."""
        return (int.from_bytes(self.key[:8], "big") >> 11) / 2**53

    def pick(self, options: Sequence[T]) -> T:
        """Pick one of the options."""
        return options[self.number(len(options))]

    def hex(self, digits: int) -> str:
        """Roll a string of hexadecimal digits, at most 32."""
        return self.key.hex()[:digits]
