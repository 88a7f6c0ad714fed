"""Refusals for want of credit, told from all others."""

from __future__ import annotations

import json

import pytest

from papayya_llm.refusals import is_exhausted

OVER = {"message": "You exceeded your current quota", "type": "insufficient_quota"}
LOW = {
    "type": "invalid_request_error",
    "message": "Your credit balance is too low to access the API",
}
XAI = {
    "code": "x",
    "error": "Your team has either used all available credits or reached its monthly",
}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, {"error": OVER}),
        (429, {"error": {"code": "insufficient_quota"}}),
        (400, {"error": {"code": "billing_hard_limit_reached", "type": "invalid_request_error"}}),
        (400, {"type": "error", "error": LOW}),
        (402, {"error": {"message": "Insufficient Balance"}}),
        (402, None),
        (403, XAI),
        (403, {"message": "Model access is denied due to INVALID_PAYMENT_INSTRUMENT: …"}),
        (429, [{"error": {"code": 429, "message": "Your prepayment credits are depleted."}}]),
    ],
)
def test_no_credit(status: int, body: object) -> None:
    """Each provider has its own words for an empty account."""
    assert is_exhausted(status, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, {"error": {"code": "rate_limit_exceeded", "message": "Rate limit reached"}}),
        (429, {"error": {"message": "You exceeded your current quota, please check your plan"}}),
        (429, {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}),
        (400, {"error": {"message": "Invalid 'messages'", "code": None, "type": ["x"]}}),
        (200, {"error": OVER}),
        (500, {"error": OVER}),
        (None, {"error": OVER}),
        (429, "insufficient_quota"),
        (429, []),
        (429, [1]),
        (429, {"error": None}),
        (429, {"error": {"message": 7}}),
    ],
)
def test_something_else(status: int | None, body: object) -> None:
    """A limit that passes by itself, and any other fault, is not one."""
    assert not is_exhausted(status, json.dumps(body).encode())


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"\xff", None])
def test_no_json(body: bytes | None) -> None:
    """A refusal that cannot be read says nothing of credit."""
    assert not is_exhausted(429, body)
