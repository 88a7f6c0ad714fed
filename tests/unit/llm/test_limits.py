"""Rate limits, as headers tell them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from papayya_core.call import Limit
from papayya_llm.limits import limits

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
OPENAI = {
    "X-RateLimit-Limit-Requests": "500",
    "x-ratelimit-limit-tokens": "200000",
    "x-ratelimit-limit-tokens_usage_based": "9",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-remaining-tokens": "199976",
    "x-ratelimit-reset-requests": "120ms",
    "x-ratelimit-reset-tokens": "7ms",
}


def anthropic(**told: tuple[int, int]) -> dict[str, str]:
    """Write limit and remaining by unit, all back in half a minute."""
    found: dict[str, str] = {}
    for name, (most, left) in told.items():
        start = f"anthropic-ratelimit-{name.replace('_', '-')}"
        found |= {f"{start}-limit": str(most), f"{start}-remaining": str(left)}
        found[f"{start}-reset"] = "2026-11-21T12:00:30Z"
    return found


def read(fields: dict[str, str]) -> tuple[Limit, ...]:
    """Read them at a known time."""
    return limits(fields.items(), NOW)


def test_openai() -> None:
    """OpenAI and those like it tell both limits, with spans of time."""
    assert read(OPENAI) == (
        Limit("requests", 500, 499, 0.12),
        Limit("tokens", 200_000, 199_976, 0.007),
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("1.5s", 1.5),
        ("2m59.56s", 179.56),
        ("6m0s", 360.0),
        ("1h2m3s", 3723.0),
        ("1d", 86_400.0),
        ("120ms", 0.12),
        ("12", 12.0),
        ("0.5", 0.5),
        ("2026-11-21T12:00:10Z", 10.0),
        ("2026-11-21T13:00:10+01:00", 10.0),
        ("2026-11-21T11:59:00Z", 0.0),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("1.2.3s", None),
        ("nan", None),
        ("9" * 400, None),
        ("9" * 400 + "s", None),
    ],
)
def test_reset(text: str, seconds: float | None) -> None:
    """A reset is a span, seconds or a point in time; anything else is not told."""
    [found] = read({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": text})
    assert found.reset == (None if seconds is None else pytest.approx(seconds))


def test_per_day() -> None:
    """A limit whose room comes back later than in a minute is none per minute."""
    found = read(OPENAI | {"x-ratelimit-reset-requests": "7m12s"})
    assert found[0] == Limit("requests", None, 499, 432.0)
    assert found[1].limit == 200_000


def test_anthropic() -> None:
    """Of Anthropic's limits of tokens, the one of all tokens counts."""
    told = anthropic(
        requests=(50, 49), tokens=(90_000, 80_000), input_tokens=(9, 9), output_tokens=(9, 9)
    )
    assert read(told) == (Limit("requests", 50, 49, 30.0), Limit("tokens", 90_000, 80_000, 30.0))


@pytest.mark.parametrize(("into", "out"), [(70_000, 8_000), (8_000, 70_000)])
def test_tighter(into: int, out: int) -> None:
    """Where input and output are told apart only, the tighter one counts."""
    told = anthropic(input_tokens=(80_000, into), output_tokens=(80_000, out))
    assert read(told) == (Limit("tokens", 80_000, 8_000, 30.0),)


def test_clocks() -> None:
    """A point in time is compared with the provider's own clock, where it tells it."""
    told = anthropic(requests=(50, 0)) | {"date": "Sat, 21 Nov 2026 12:00:25 GMT"}
    assert read(told) == (Limit("requests", 50, 0, 5.0),)


def test_azure() -> None:
    """What is left may be told alone."""
    assert read({"x-ratelimit-remaining-tokens": "12"}) == (Limit("tokens", None, 12, None),)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"content-type": "application/json", "date": "no date"},
        {
            "x-ratelimit-limit": "10",
            "x-ratelimit-remaining": "9",
            "x-ratelimit-reset": "1700000000",
        },
        {"x-ratelimit-limit-requests": "many", "x-ratelimit-reset-requests": "1s"},
        {"x-ratelimit-limit-requests": "9" * 400},
        {"x-ratelimit-limit-requests": "-1"},
        {"anthropic-ratelimit-unified-status": "allowed"},
    ],
)
def test_none(fields: dict[str, str]) -> None:
    """Headers that tell no limit, or one of an unknown time, tell nothing."""
    assert read(fields) == ()


def test_no_clock() -> None:
    """A Date that cannot be read leaves our own."""
    told = anthropic(requests=(50, 0)) | {"date": "yesterday"}
    assert read(told) == (Limit("requests", 50, 0, 30.0),)
