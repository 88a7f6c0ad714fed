"""Why a request is turned down, in one form for all providers."""

from __future__ import annotations

import math
from dataclasses import replace

from papayya_core.fake_provider.faults import Fault
from papayya_core.fake_provider.limiter import Shortage
from papayya_core.fake_provider.shapes.base import Failure, Vendor

_SECOND_US = 1_000_000
_SAID = {
    "rate_limit": "Rate limit reached: wait as long as Retry-After says, then send it again.",
    "server_error": "The server had an error while processing your request.",
    "overloaded": "Overloaded: the server is busy, send it again later.",
}
_NAMES = {
    "requests": "requests per min (RPM)",
    "tokens": "tokens per min (TPM)",
    "input_tokens": "input tokens per min (ITPM)",
    "output_tokens": "output tokens per min (OTPM)",
}


def invalid(why: Exception) -> Failure:
    """Turn down what can't be read."""
    return Failure(400, "invalid_request", str(why))


def by_fault(fault: Fault, vendor: Vendor) -> Failure:
    """Fail on purpose."""
    if fault.kind == "no_credit":
        usual = vendor.no_credit
    else:
        statuses = {"rate_limit": 429, "server_error": 500, "overloaded": vendor.overloaded}
        after = 1.0 if fault.kind == "rate_limit" else None
        usual = Failure(statuses[fault.kind], fault.kind, _SAID[fault.kind], after)
    waits = "retry_after" in fault.params
    after = fault.number("retry_after", 0) if waits else usual.retry_after_s
    return replace(usual, status=int(fault.number("status", usual.status)), retry_after_s=after)


def by_limit(model: str, lack: Shortage) -> Failure:
    """Turn down what a limit has no room for, or never will."""
    what = f"{model} on {_NAMES[lack.unit]}: Limit {lack.per_minute}"
    if lack.wait is None:
        said = (
            f"Request too large for {what}, Requested {lack.asked}. The input or output tokens"
            " must be reduced in order to run successfully."
        )
        return Failure(429, "rate_limit", said, unit=lack.unit)
    used = f"Used {lack.per_minute - lack.left}, Requested {lack.asked}"
    after_ms = math.ceil(lack.wait / 1_000)
    return Failure(
        429,
        "rate_limit",
        f"Rate limit reached for {what}, {used}. Please try again in {after_ms}ms.",
        retry_after_s=math.ceil(lack.wait / _SECOND_US),
        retry_after_ms=after_ms,
        unit=lack.unit,
    )
