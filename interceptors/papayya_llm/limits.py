"""What an answer's headers tell of the provider's rate limits. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial

from papayya_core.call import Limit

Clock = Callable[[], datetime]
_NAMES = re.compile(
    r"x-ratelimit-(?P<what>limit|remaining|reset)-(?P<unit>requests|tokens)"
    r"|anthropic-ratelimit-(?P<of>requests|tokens|input-tokens|output-tokens)"
    r"-(?P<its>limit|remaining|reset)"
)
_SPAN = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ms|[smhd]))+")
_PART = re.compile(r"([0-9.]+)(ms|[smhd])")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_MINUTE = 61.0  # with what rounding adds
_PARTS = ("input-tokens", "output-tokens")


def limits(fields: Iterable[tuple[str, str]], now: datetime | None = None) -> tuple[Limit, ...]:
    """Read the limits of requests and of tokens, as far as they are told.

    ``now``: to count the seconds to a point in time from, where the answer does not say its own.
    """
    told: dict[str, str] = {}
    for name, value in fields:
        if "ratelimit-" in (lower := name.lower()) or lower == "date":
            told[lower] = value
    found: dict[str, dict[str, str]] = {}
    for name, value in told.items():
        if match := _NAMES.fullmatch(name):
            unit, what = match["unit"] or match["of"], match["what"] or match["its"]
            found.setdefault(unit, {})[what] = value
    return _chosen(found, partial(_clock, told.get("date"), now)) if found else ()


def _chosen(found: Mapping[str, Mapping[str, str]], now: Clock) -> tuple[Limit, ...]:
    """Where tokens are told apart only, the tighter limit stands for all of them."""
    read = {unit: _read(unit, told, now) for unit, told in found.items()}
    parts = [one for name in _PARTS if (one := read.get(name)) is not None]
    tokens = read.get("tokens") or min(parts, key=_left, default=None)
    return tuple(one for one in (read.get("requests"), tokens) if one is not None)


def _read(unit: str, told: Mapping[str, str], now: Clock) -> Limit | None:
    """Read one limit; one whose room takes longer than a minute to come back is none per minute."""
    most, left = _whole(told.get("limit")), _whole(told.get("remaining"))
    reset = _seconds(told.get("reset") or "", now)
    if most is None and left is None:
        return None
    per_minute = most if reset is None or reset <= _MINUTE else None
    return Limit("requests" if unit == "requests" else "tokens", per_minute, left, reset)


def _left(limit: Limit) -> tuple[bool, int, int]:
    """Order limits, the tightest first."""
    left, most = limit.remaining, limit.limit
    return left is None, left or 0, most or 0


def _whole(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(float(text)) if _NUMBER.fullmatch(text) else None


def _seconds(text: str, now: Clock) -> float | None:
    """Read ``6m0s``, ``120ms``, plain seconds, or a point in time."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    if _SPAN.fullmatch(text):
        return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - now()).total_seconds())


def _clock(date: str | None, now: datetime | None) -> datetime:
    """Say what time it is where the answer comes from: two clocks may differ."""
    try:
        then = parsedate_to_datetime(date or "")
    except ValueError:
        return now or datetime.now(UTC)
    return then if then.tzinfo else then.replace(tzinfo=UTC)
