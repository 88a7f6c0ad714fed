"""How an exchange ended, from what the client saw of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from papayya_core import faults, rules
from papayya_core.call import Answered, CallState, Ending
from papayya_llm import headers, limits, refusals

OK = range(200, 300)
READ, ERROR_TEXT = 20_000, 500
_MARK = ("x-papayya-usage", "added")
NEVER_SENT = frozenset(
    {
        # httpx, httpx2
        "ConnectError",
        "ConnectTimeout",
        "PoolTimeout",
        "ProxyError",
        "UnsupportedProtocol",
        "LocalProtocolError",
        "InvalidURL",
        # botocore
        "EndpointConnectionError",
        "ConnectTimeoutError",
        "ProxyConnectionError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "ParamValidationError",
        "NoRegionError",
    }
)


def of_error(error: BaseException, seconds: float, sdk_retries: int = 0) -> Ending:
    """End an exchange that raised: never sent, refused, or nobody knows."""
    status, fields, body = _answer_of(error)
    refused = status is not None and status >= OK.stop
    kept = headers.kept(fields.items())
    return Ending(
        "failed" if refused else _state(error),
        status=status,
        headers=kept,
        retry_after=headers.retry_after(fields),
        request_id=headers.request_id(fields),
        sdk_retries=sdk_retries,
        error=rules.describe_error(error),
        seconds=seconds,
        limits=limits.limits(kept),
        exhausted=refusals.is_exhausted(status, body),
    )


def of_answer(
    status: int,
    fields: Mapping[str, str],
    body: bytes | None,
    answered: Answered | None,
    seconds: float,
    *,
    state: CallState | None = None,
    first: float | None = None,
    sdk_retries: int = 0,
    error: str | None = None,
) -> Ending:
    """End an exchange that was answered; what is no 2xx is a refusal, and costs nothing."""
    fine = status in OK
    kept = headers.kept(fields.items())
    return Ending(
        state or ("answered" if fine else "failed"),
        status=status,
        headers=kept,
        body=body if fine else None,
        answered=answered if fine else None,
        retry_after=headers.retry_after(fields),
        request_id=headers.request_id(fields),
        sdk_retries=sdk_retries,
        error=error if fine else _refusal(status, body),
        seconds=seconds,
        first_seconds=first,
        limits=limits.limits(kept),
        exhausted=refusals.is_exhausted(status, body),
    )


def hiding_usage(ending: Ending) -> Ending:
    """Mark an answer whose event of usage the caller has not asked for, and is not to see."""
    return replace(ending, headers=(*ending.headers, _MARK))


def without_mark(fields: Iterable[tuple[str, str]]) -> tuple[list[tuple[str, str]], bool]:
    """Return the headers as the provider sent them, and whether they were marked."""
    found = [tuple(pair) for pair in fields]
    return [pair for pair in found if pair != _MARK], _MARK in found  # type: ignore[misc]


def _state(error: BaseException) -> CallState:
    names = {cls.__name__ for cls in type(error).__mro__}
    if (names & NEVER_SENT and not _is_of_http2(error)) or _is_closed(error):
        return "void"
    return "uncertain"


def _is_of_http2(error: BaseException) -> bool:
    """Tell whether HTTP/2 broke down, which it also does after a request was sent."""
    return any(type(link).__module__.startswith("h2.") for link in faults.chain(error, hidden=True))


def _is_closed(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and "client has been closed" in str(error)


def _answer_of(error: BaseException) -> tuple[int | None, Mapping[str, str], bytes | None]:
    """Find the answer that an error carries: a hook of the client raised for its status."""
    answer: Any = getattr(error, "response", None)
    status, fields = getattr(answer, "status_code", None), getattr(answer, "headers", None)
    if not isinstance(status, int) or not hasattr(fields, "items"):
        return None, {}, None
    body = None
    with suppress(Exception):  # it may not have been read
        body = answer.content
    return status, fields, body  # type: ignore[return-value]


def _refusal(status: int, body: bytes | None) -> str:
    text = rules.presentable((body or b"")[:READ].decode("utf-8", "replace").strip())[:ERROR_TEXT]
    return f"{status}: {text}" if text else str(status)
