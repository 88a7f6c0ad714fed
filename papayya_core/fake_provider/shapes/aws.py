"""What the operations of Amazon Bedrock have in common."""

from __future__ import annotations

from papayya_core.fake_provider.ask import JsonObject
from papayya_core.fake_provider.shapes import limits
from papayya_core.fake_provider.shapes.base import Failure, Vendor

LATENCY_MS = 100
_KINDS = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
_NO_CREDIT = "INVALID_PAYMENT_INSTRUMENT: A valid payment instrument must be provided."


def error(failure: Failure) -> JsonObject:
    """Write an error; its kind is in a header."""
    return {"message": failure.message}


def error_headers(failure: Failure) -> dict[str, str]:
    """Name the kind of an error."""
    return {"x-amzn-errortype": _KINDS.get(failure.status, "InternalServerException")}


AWS = Vendor(
    overloaded=503,
    no_credit=Failure(403, "no_credit", _NO_CREDIT),
    error=error,
    error_headers=error_headers,
    limits=limits.none,
)
