"""A token bucket: filled without a break, and never fuller than one minute fills it."""

from __future__ import annotations

from dataclasses import dataclass, field

MINUTE_US = 60_000_000


@dataclass(slots=True)
class Bucket:
    """
    Room for `per_minute` units in a minute, full at first.

    Times are microseconds, of any clock. What is in it is counted in units x microseconds of a
    minute, so that all is exact; a correction may leave it below zero.
    """

    per_minute: int
    at: int
    _held: int = field(init=False)

    def __post_init__(self) -> None:
        """Fill it."""
        self._held = self._brim

    @property
    def _brim(self) -> int:
        """What it holds when it is full."""
        return self.per_minute * MINUTE_US

    def _fill(self, now: int) -> None:
        """Let in what came since the last time; a clock that went back brings nothing."""
        passed = max(0, now - self.at)
        self._held = min(self._brim, self._held + passed * self.per_minute)
        self.at = now

    def left(self, now: int) -> int:
        """Give the whole units in it, at least 0."""
        self._fill(now)
        return max(0, self._held // MINUTE_US)

    def take(self, amount: int, now: int) -> None:
        """Take units out, whether they are in it or not; a negative amount goes back in."""
        self._fill(now)
        self._held = min(self._brim, self._held - amount * MINUTE_US)

    def wait(self, amount: int, now: int) -> int | None:
        """Say in how many microseconds it has an amount; None stands for never."""
        self._fill(now)
        if amount > self.per_minute:
            return None
        return self._time(amount * MINUTE_US - self._held)

    def full_in(self, now: int) -> int:
        """Say in how many microseconds it is full."""
        self._fill(now)
        return self._time(self._brim - self._held)

    def _time(self, missing: int) -> int:
        """Say how long it takes to let an amount in, rounded up."""
        return max(0, -(-missing // self.per_minute))
