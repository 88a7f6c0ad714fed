"""The headers in which providers say how much of their rate limits is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeAlias

from papayya_core.fake_provider.limiter import Gauge

Gauges: TypeAlias = Mapping[str, Gauge]
Limits: TypeAlias = Callable[[Gauges, datetime], dict[str, str]]

_SECOND_MS, _MINUTE_MS, _HOUR_MS = 1_000, 60_000, 3_600_000
_TOKENS = ("tokens", "input_tokens", "output_tokens")
_USUAL = {"requests": 500, "tokens": 200_000}


def exhausted(gauges: Gauges, wait_us: int) -> dict[str, Gauge]:
    """Give gauges that say that nothing is left for some microseconds."""
    limits = {unit: gauge.per_minute for unit, gauge in gauges.items()} or _USUAL
    return {unit: Gauge(per_minute, 0, wait_us) for unit, per_minute in limits.items()}


def openai(gauges: Gauges, _: datetime) -> dict[str, str]:
    """Write OpenAI's headers, in which tokens are those of prompt and answer."""
    headers = {}
    for name, gauge in _named(gauges, requests=("requests",), tokens=_TOKENS).items():
        headers[f"x-ratelimit-limit-{name}"] = str(gauge.per_minute)
        headers[f"x-ratelimit-remaining-{name}"] = str(gauge.left)
        headers[f"x-ratelimit-reset-{name}"] = duration(gauge.full_in_us)
    return headers


def anthropic(gauges: Gauges, now: datetime) -> dict[str, str]:
    """Write Anthropic's headers, in which the resets are times."""
    headers = {}
    names = {"requests": ("requests",), "tokens": _TOKENS}
    names |= {f"{way}_tokens": (f"{way}_tokens", "tokens") for way in ("input", "output")}
    for name, gauge in _named(gauges, **names).items():
        what = f"anthropic-ratelimit-{name.replace('_', '-')}"
        reset = now + timedelta(microseconds=gauge.full_in_us + 999_999)
        headers[f"{what}-limit"] = str(gauge.per_minute)
        headers[f"{what}-remaining"] = str(gauge.left)
        headers[f"{what}-reset"] = f"{reset:%Y-%m-%dT%H:%M:%SZ}"
    return headers


def none(_: Gauges, __: datetime) -> dict[str, str]:
    """Write no headers, as Google and Amazon do."""
    return {}


def _named(gauges: Gauges, **units: tuple[str, ...]) -> dict[str, Gauge]:
    """Find for each name the tightest gauge of its units."""
    found = {name: [gauges[unit] for unit in of if unit in gauges] for name, of in units.items()}
    return {name: min(some, key=lambda each: each.left) for name, some in found.items() if some}


def duration(us: int) -> str:
    """Write a time as Go does, rounded up to milliseconds: 120ms, 1.5s, 6m0s."""
    ms = -(-us // 1_000)
    if 0 < ms < _SECOND_MS:
        return f"{ms}ms"
    seconds = f"{ms % _MINUTE_MS / _SECOND_MS:g}s"
    minutes = f"{ms % _HOUR_MS // _MINUTE_MS}m" if ms >= _MINUTE_MS else ""
    hours = f"{ms // _HOUR_MS}h" if ms >= _HOUR_MS else ""
    return f"{hours}{minutes}{seconds}"
