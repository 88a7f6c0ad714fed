"""What `papayya doctor` checks, a generator of lines each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor: what was looked at, how it is, what to do."""

    name: str
    level: Level
    text: str
    todo: str | None = None
