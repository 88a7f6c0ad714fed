"""One request of each dialect, to a stand-in without its wires."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from papayya_core.fake_provider.book import Entry
from papayya_core.fake_provider.call import Call
from papayya_core.fake_provider.plan import Plan
from papayya_core.fake_provider.provider import Provider

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
EMBEDDINGS = "/v1/embeddings"
GOOGLE = "/v1beta/models/gemini-2.5-flash:generateContent"
GOOGLE_STREAM = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
CLAUDE = "us.anthropic.claude-haiku-4-5-20251001-v1%3A0"
CONVERSE, CONVERSE_STREAM = f"/model/{CLAUDE}/converse", f"/model/{CLAUDE}/converse-stream"
INVOKE, INVOKE_STREAM = f"/model/{CLAUDE}/invoke", f"/model/{CLAUDE}/invoke-with-response-stream"
EVERY = (
    *(CHAT, RESPONSES, MESSAGES, EMBEDDINGS, GOOGLE, GOOGLE_STREAM),
    *(CONVERSE, CONVERSE_STREAM, INVOKE, INVOKE_STREAM),
)
_SAID = [{"role": "user", "content": "An invoice"}]
_CLAUDE = {"messages": _SAID, "max_tokens": 500}
_CONVERSE = {"messages": [{"role": "user", "content": [{"text": "An invoice"}]}]}
_GOOGLE = {"contents": [{"role": "user", "parts": [{"text": "An invoice"}]}]}
_INVOKE = {**_CLAUDE, "anthropic_version": "bedrock-2023-05-31"}
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"model": "gpt-5", "messages": _SAID},
    RESPONSES: {"model": "gpt-5", "input": "An invoice"},
    MESSAGES: {"model": "claude-sonnet-5", **_CLAUDE},
    EMBEDDINGS: {"model": "text-embedding-3-small", "input": "An invoice", "dimensions": 8},
    GOOGLE: _GOOGLE,
    GOOGLE_STREAM: _GOOGLE,
    CONVERSE: _CONVERSE,
    CONVERSE_STREAM: _CONVERSE,
    INVOKE: _INVOKE,
    INVOKE_STREAM: _INVOKE,
}


def ask(
    provider: Provider, path: str = CHAT, headers: Mapping[str, str] | None = None, **more: Any
) -> Plan:
    """Send a request of the right shape; null takes a field out."""
    whole = {**BODIES[path], **more}
    body = {name: value for name, value in whole.items() if value is not None}
    return provider.answer(Call(path, headers or {}, json.dumps(body).encode()))


def last(provider: Provider) -> Entry:
    """Give the newest entry of the ledger."""
    return provider.ledger.entries()[-1]


def said(plan: Plan) -> Any:
    """Read a JSON answer."""
    return json.loads(b"".join(plan.frames))


def sse(plan: Plan) -> list[Any]:
    """Read the data of server-sent events."""
    lines = b"".join(plan.frames).decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
