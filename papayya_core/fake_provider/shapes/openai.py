"""What OpenAI's APIs have in common."""

from __future__ import annotations

from papayya_core.fake_provider.answer import Answer
from papayya_core.fake_provider.ask import JsonObject, field, required
from papayya_core.fake_provider.shapes import limits
from papayya_core.fake_provider.shapes.base import Failure, Vendor, objects

_KINDS = {
    "no_credit": ("insufficient_quota", "insufficient_quota"),
    "invalid_request": ("invalid_request_error", None),
    "not_found": ("invalid_request_error", "not_found"),
    "overloaded": ("service_unavailable_error", "overloaded"),
}
_TOO_MANY = "rate_limit_exceeded"
_NO_CREDIT = (
    "You exceeded your current quota, please check your plan and billing details. For more"
    " information on this error, read the docs:"
    " https://platform.openai.com/docs/guides/error-codes/api-errors."
)


def error(failure: Failure) -> JsonObject:
    """Write an error; one about a limit names what is limited."""
    kind, code = _KINDS.get(failure.kind, ("server_error", None))
    if failure.kind == "rate_limit":
        kind, code = "requests" if failure.unit == "requests" else "tokens", _TOO_MANY
    return {"error": {"message": failure.message, "type": kind, "param": None, "code": code}}


def error_headers(failure: Failure) -> dict[str, str]:
    """Say when to try again to the millisecond."""
    if failure.retry_after_s is None:
        return {}
    after_ms = failure.retry_after_ms or failure.retry_after_s * 1_000
    return {"retry-after-ms": f"{after_ms:.12g}"}


OPENAI = Vendor(
    overloaded=503,
    no_credit=Failure(429, "no_credit", _NO_CREDIT),
    error=error,
    error_headers=error_headers,
    limits=limits.openai,
)


def functions(body: JsonObject) -> list[JsonObject]:
    """Read the tools that are functions."""
    listed = objects(field(body, "tools", list, default=[]), "tools")
    return [tool for tool in listed if tool.get("type") == "function"]


def schema(form: JsonObject, *, inside: str | None = None) -> JsonObject | None:
    """Read the JSON schema of a format, perhaps inside one of its fields; None asks for text."""
    if form.get("type") == "json_schema":
        holder = form if inside is None else required(form, inside, dict)
        found: JsonObject = field(holder, "schema", dict, default={})
        return found
    return {} if form.get("type") == "json_object" else None


def prompt_details(answer: Answer) -> JsonObject:
    """Write what of the prompt was in the cache, or went there."""
    used = answer.usage
    return {"cached_tokens": used.cached, "cache_write_tokens": used.written}
