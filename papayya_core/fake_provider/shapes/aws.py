"""What the operations of Amazon Bedrock have in common."""

from __future__ import annotations

from papayya_core.fake_provider.ask import JsonObject
from papayya_core.fake_provider.shapes.base import Failure

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


def error(failure: Failure) -> JsonObject:
    """Write an error; its kind is in a header."""
    return {"message": failure.message}


def error_headers(failure: Failure) -> dict[str, str]:
    """Name the kind of an error."""
    return {"x-amzn-errortype": _KINDS.get(failure.status, "InternalServerException")}
