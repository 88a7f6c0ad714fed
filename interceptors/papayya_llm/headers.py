"""Headers of requests and answers: what is kept of them, and what they tell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

DROPPED = frozenset(
    {
        "authorization",
        "authentication-info",
        "connection",
        "content-encoding",
        "content-length",
        "cookie",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "set-cookie",
        "set-cookie2",
        "transfer-encoding",
        "www-authenticate",
    }
)
REQUEST_IDS = ("x-request-id", "request-id", "x-amzn-requestid", "apim-request-id")
RETRIES = "x-stainless-retry-count"


def kept(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the headers of an answer that may be stored, and that fit its decoded body."""
    return tuple((name, value) for name, value in headers if name.lower() not in DROPPED)


def request_id(headers: Mapping[str, str]) -> str | None:
    """Find the provider's name for the exchange."""
    return next((found for name in REQUEST_IDS if (found := headers.get(name))), None)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that the provider asks to wait."""
    if (wait := _number(headers.get("retry-after-ms"))) is not None:
        return wait / 1000
    text = headers.get("retry-after")
    if (wait := _number(text)) is not None or not text:
        return wait
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - (now or datetime.now(UTC))).total_seconds())


def retries(headers: Mapping[str, str]) -> int:
    """Return how often the client has tried before by itself."""
    text = headers.get(RETRIES) or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0  # noqa: PLR2004


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) and value >= 0 else None
