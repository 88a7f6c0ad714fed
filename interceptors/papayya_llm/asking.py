"""Requests that are sent otherwise than the caller wrote them.

An OpenAI stream is asked for its usage where the caller did not, so that its price is known; and
less output is asked for where a budget leaves less.
"""

from __future__ import annotations

import json
import re
from types import ModuleType
from typing import Any

from papayya_core.call import Held
from papayya_core.runtime import runtime
from papayya_llm import endings
from papayya_llm.exchanges import Exchange

PROVIDERS = frozenset({"openai", "azure.ai.openai"})
REFUSALS = frozenset({400, 422})
_LENGTH = frozenset({b"content-length", b"transfer-encoding"})
_REPLACED = _LENGTH | {b"accept-encoding"}
_UNREAD = re.compile(r"\b(br|zstd)\b")
_taken = {"api.openai.com"}  # hosts that have answered the question
_refused: set[str] = set()


def hides_usage(exchange: Exchange) -> bool:
    """Tell whether a stream's event of usage is nothing that the caller has asked for."""
    if exchange.asked.schema != "openai.chat" or not exchange.asked.stream:
        return False
    options = exchange.body.get("stream_options")
    return not (isinstance(options, dict) and options.get("include_usage"))


def limited(library: ModuleType, exchange: Exchange, held: Held, request: Any) -> tuple[Any, Any]:
    """Return a request as a budget lets it be sent, with its body: the caller's own, or a copy."""
    body = exchange.limited(held)
    if body is exchange.body:
        return request, body
    return _copy(library, request, written(body)), body


def readable(
    library: ModuleType, exchange: Exchange, request: Any, body: dict[str, Any]
) -> tuple[Any, bool]:
    """Return a stream's request as it is to be sent, and whether it asks for the usage now.

    The given one where it can be; else a copy, whose answer comes in an encoding that we read.
    """
    if not exchange.asked.stream:
        return request, False
    if _asks(exchange):
        options = body.get("stream_options") or {}
        asking = {**body, "stream_options": {**options, "include_usage": True}}
        return _copy(library, request, written(asking), b"identity"), True  # one event is taken out
    wanted = request.headers.get("accept-encoding") or ""
    if _UNREAD.search(wanted):
        return _copy(library, request, request.content, b"gzip, deflate"), False
    return request, False


def written(body: dict[str, Any]) -> bytes:
    """Write the body of a request."""
    return json.dumps(body, separators=(",", ":")).encode()


def _asks(exchange: Exchange) -> bool:
    return (
        hides_usage(exchange)
        and exchange.asked.provider in PROVIDERS
        and exchange.host not in _refused
        and isinstance(exchange.body.get("stream_options"), dict | None)
        and runtime().settings.llm_usage
    )


def _copy(library: ModuleType, request: Any, content: bytes, encoding: bytes | None = None) -> Any:
    replaced = _LENGTH if encoding is None else _REPLACED
    fields = [pair for pair in request.headers.raw if pair[0].lower() not in replaced]
    accepted = [] if encoding is None else [(b"accept-encoding", encoding)]
    return library.Request(
        request.method,
        request.url,
        headers=[*fields, *accepted],
        content=content,
        extensions=request.extensions,
    )


def is_refused(exchange: Exchange, status: int) -> bool:
    """Learn from the answer to a changed request; tell whether to ask as the caller did."""
    if status in endings.OK:
        _taken.add(exchange.host)
    return status in REFUSALS and exchange.host not in _taken


def blame(exchange: Exchange, status: int) -> None:
    """What it answers when it is not asked: if that went well, never ask this host again."""
    if status in endings.OK:
        _refused.add(exchange.host)
