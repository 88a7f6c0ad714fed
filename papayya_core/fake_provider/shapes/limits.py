"""The headers in which providers say how much of their rate limits is left."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from papayya_core.fake_provider.shapes.base import Failure

_REQUESTS, _TOKENS = 500, 200_000
_USED = 1_000
Limits = Callable[[float | None], dict[str, str]]


def openai(wait_s: float | None = None) -> dict[str, str]:
    """Write OpenAI's headers: nothing is left for some seconds, or (None) there is room."""
    free = wait_s is None
    reset = "120ms" if wait_s is None else f"{wait_s:g}s"
    return {
        "x-ratelimit-limit-requests": str(_REQUESTS),
        "x-ratelimit-remaining-requests": str(_REQUESTS - 1 if free else 0),
        "x-ratelimit-reset-requests": reset,
        "x-ratelimit-limit-tokens": str(_TOKENS),
        "x-ratelimit-remaining-tokens": str(_TOKENS - _USED if free else 0),
        "x-ratelimit-reset-tokens": reset,
    }


def anthropic(wait_s: float | None = None) -> dict[str, str]:
    """Write Anthropic's headers: nothing is left for some seconds, or (None) there is room."""
    reset = datetime.now(UTC) + timedelta(seconds=wait_s or 0)
    wholes = {"requests": (_REQUESTS, 1), "input-tokens": (_TOKENS, _USED)}
    wholes["output-tokens"] = wholes["input-tokens"]
    headers = {}
    for name, (limit, used) in wholes.items():
        what = f"anthropic-ratelimit-{name}"
        headers[f"{what}-limit"] = str(limit)
        headers[f"{what}-remaining"] = str(limit - used if wait_s is None else 0)
        headers[f"{what}-reset"] = f"{reset:%Y-%m-%dT%H:%M:%SZ}"
    return headers


def on_error(limits: Limits) -> Callable[[Failure], dict[str, str]]:
    """Give the headers of a provider's errors: limits when they are the reason, else none."""

    def headers(failure: Failure) -> dict[str, str]:
        return limits(failure.retry_after_s or 0) if failure.kind == "rate_limit" else {}

    return headers
