"""Keeping the limits: who may go on, and how much is left for whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from papayya_core.fake_provider.ask import Ask
from papayya_core.fake_provider.book import key_label
from papayya_core.fake_provider.bucket import Bucket
from papayya_core.fake_provider.limits import Cost, Limit, expected


@dataclass(frozen=True, slots=True)
class Gauge:
    """What is left of a limit per minute; it is whole again in `full_in_us` microseconds."""

    per_minute: int
    left: int
    full_in_us: int


@dataclass(frozen=True, slots=True)
class Shortage:
    """What a request lacks; there is room in `wait` microseconds, or (None) never."""

    unit: str
    per_minute: int
    left: int
    asked: int
    wait: int | None


@dataclass(frozen=True, slots=True)
class Gate:
    """The buckets (by unit) that a request must pass, and what it counts."""

    buckets: tuple[tuple[str, Bucket], ...]
    cost: Cost

    def shortage(self, now: int) -> Shortage | None:
        """Find the bucket that has room last; None if all have now."""
        short = [
            found for unit, bucket in self.buckets if (found := self._short(unit, bucket, now))
        ]
        return max(short, key=lambda each: (each.wait is None, each.wait or 0), default=None)

    def _short(self, unit: str, bucket: Bucket, now: int) -> Shortage | None:
        """Say what one bucket lacks."""
        asked = self.cost[unit]
        wait = bucket.wait(asked, now)
        if wait == 0:
            return None
        return Shortage(unit, bucket.per_minute, bucket.left(now), asked, wait)

    def take(self, now: int) -> None:
        """Take what the request counts."""
        for unit, bucket in self.buckets:
            bucket.take(self.cost[unit], now)

    def correct(self, used: Cost, now: int) -> None:
        """Take what it counts in the end, in place of what was expected."""
        for unit, bucket in self.buckets:
            bucket.take(used[unit] - self.cost[unit], now)

    def gauges(self, now: int) -> dict[str, Gauge]:
        """Say what is left by unit, where least is."""
        found: dict[str, Gauge] = {}
        for unit, bucket in self.buckets:
            gauge = Gauge(bucket.per_minute, bucket.left(now), bucket.full_in(now))
            if unit not in found or gauge.left < found[unit].left:
                found[unit] = gauge
        return found


_Key = tuple[str | None, str | None, str, str]


@dataclass(slots=True)
class Limiter:
    """The limits in force and their buckets; its owner sees to it that one thread is in it."""

    _limits: dict[tuple[str | None, str | None], Limit] = field(default_factory=dict)
    _buckets: dict[_Key, Bucket] = field(default_factory=dict)

    @property
    def limits(self) -> list[Limit]:
        """The limits, in the order in which they came."""
        return list(self._limits.values())

    def put(self, limits: Iterable[Limit]) -> None:
        """Put limits in force, each in place of the one for the same key and model."""
        for limit in limits:
            self._limits[limit.whom] = limit
            stale = [key for key in self._buckets if key[:2] == limit.whom]
            for key in stale:
                del self._buckets[key]

    def clear(self) -> None:
        """Drop all limits."""
        self._limits.clear()
        self._buckets.clear()

    def gate(self, api_key: str, ask: Ask, now: int) -> Gate:
        """Find the buckets of a request."""
        found = [limit for limit in self._limits.values() if limit.covers(api_key, ask.model)]
        if not found:
            return Gate((), {})
        label = key_label(api_key)
        buckets = (each for limit in found for each in self._of(limit, label, now))
        return Gate(tuple(buckets), expected(ask))

    def _of(self, limit: Limit, label: str, now: int) -> Iterator[tuple[str, Bucket]]:
        """Find or make a key's buckets of one limit."""
        for unit, per_minute in limit.per_minute().items():
            key = (*limit.whom, label, unit)
            yield unit, self._buckets.setdefault(key, Bucket(per_minute, now))

    def levels(self, now: int) -> Iterator[tuple[str, str | None, str, Gauge]]:
        """List what is left: (the key's label, the limit's model, unit, gauge)."""
        for (_, model, label, unit), bucket in self._buckets.items():
            yield (
                label,
                model,
                unit,
                Gauge(bucket.per_minute, bucket.left(now), bucket.full_in(now)),
            )
