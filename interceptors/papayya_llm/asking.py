"""Asking an OpenAI stream for its usage where the caller did not, so that its price is known."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

from papayya_core.runtime import runtime
from papayya_llm import endings
from papayya_llm.exchanges import Exchange

PROVIDERS = frozenset({"openai", "azure.ai.openai"})
REFUSALS = frozenset({400, 422})
_REPLACED = frozenset({b"accept-encoding", b"content-length", b"transfer-encoding"})
_taken = {"api.openai.com"}  # hosts that have answered the question
_refused: set[str] = set()


def hides_usage(exchange: Exchange) -> bool:
    """Tell whether a stream's event of usage is nothing that the caller has asked for."""
    if exchange.asked.schema != "openai.chat" or not exchange.asked.stream:
        return False
    options = exchange.body.get("stream_options")
    return not (isinstance(options, dict) and options.get("include_usage"))


def with_usage(library: ModuleType, exchange: Exchange, request: Any) -> Any | None:
    """Return a copy of a request that asks for usage; None where it goes as it is."""
    options = exchange.body.get("stream_options")
    if (
        not hides_usage(exchange)
        or exchange.asked.provider not in PROVIDERS
        or exchange.host in _refused
        or not isinstance(options, dict | None)
        or not runtime().settings.llm_usage
    ):
        return None
    body = {**exchange.body, "stream_options": {**(options or {}), "include_usage": True}}
    fields = [pair for pair in request.headers.raw if pair[0].lower() not in _REPLACED]
    fields.append((b"accept-encoding", b"identity"))  # an event is to be taken out of the answer
    return library.Request(
        request.method,
        request.url,
        headers=fields,
        content=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
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
