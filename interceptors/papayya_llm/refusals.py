"""What a refusal is about: a rate limit passes by itself, an account without credit does not. Pure."""

from __future__ import annotations

import json
from typing import Any

from papayya_core.refusals import NO_CREDIT
from papayya_llm.schemas.base import text

_PAYMENT_REQUIRED = 402
_STATUSES = frozenset({400, _PAYMENT_REQUIRED, 403, 429})
_SAID = (
    "credit balance is too low",
    "credits are depleted",
    "insufficient balance",
    "invalid_payment_instrument",  # Amazon's
    "monthly spending limit",
    "used all available credits",
)


def is_exhausted(status: int | None, body: bytes | None) -> bool:
    """Tell whether a provider refused because the account has no credit: it must be topped up."""
    if status not in _STATUSES:
        return False
    if status == _PAYMENT_REQUIRED:
        return True
    error = _error(body or b"")
    said = text(error.get("message")).lower()
    codes = {text(error.get("code")), text(error.get("type"))}
    return bool(codes & NO_CREDIT) or any(words in said for words in _SAID)


def _error(body: bytes) -> dict[str, Any]:
    """Find what an answer says of its error; Google's come in a list, xAI's without an object."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if isinstance(told, list):
        told = told[0] if told else None
    if not isinstance(told, dict):
        return {}
    error = told.get("error")
    return error if isinstance(error, dict) else {**told, "message": error or told.get("message")}
