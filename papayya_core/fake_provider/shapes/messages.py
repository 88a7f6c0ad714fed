"""Anthropic's messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from papayya_core.fake_provider import tokens
from papayya_core.fake_provider.answer import Answer
from papayya_core.fake_provider.ask import (
    Ask,
    BadRequest,
    JsonObject,
    field,
    positive,
    read_message,
    required,
)
from papayya_core.fake_provider.shapes import limits, thinking
from papayya_core.fake_provider.shapes.base import (
    Failure,
    Shape,
    Vendor,
    choice,
    frame,
    function,
    objects,
)

_STOP = {"stop": "end_turn", "tool": "tool_use", "length": "max_tokens", "refusal": "refusal"}
_EMPTY: dict[str, JsonObject] = {
    "thinking": {"thinking": "", "signature": ""},
    "text": {"text": ""},
    "tool_use": {"input": {}},
}
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_NO_CREDIT = (
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to"
    " upgrade or purchase credits."
)


def parse(body: JsonObject) -> Ask:
    """Read a request."""
    listed = objects(field(body, "tools", list, default=[]), "tools")
    tools = tuple(function(tool, "input_schema") for tool in listed if "input_schema" in tool)
    messages = objects(required(body, "messages", list), "messages")
    limit = positive(body, "max_tokens")
    if limit is None or not messages:
        raise BadRequest("'max_tokens' is required, and 'messages' must not be empty.")
    system = body.get("system")
    config = field(body, "output_config", dict, default={})
    wanted = thinking.anthropic(field(body, "thinking", dict), field(config, "effort", str))
    if wanted.most is not None and wanted.most >= limit:
        raise BadRequest("'max_tokens' must be greater than 'thinking.budget_tokens'.")
    return Ask(
        body=body,
        model=required(body, "model", str),
        messages=tuple(
            map(read_message, [{"role": "system", "content": system}, *messages][not system :])
        ),
        schema=_schema(body),
        tools=tools,
        tool_choice=choice(body.get("tool_choice"), tools),
        max_tokens=limit,
        stream=field(body, "stream", bool, default=False),
        thinking=wanted,
    )


def _schema(body: JsonObject) -> JsonObject | None:
    """Read output_config.format, or the older output_format."""
    config = field(body, "output_config", dict, default={})
    form = field(config, "format", dict) or field(body, "output_format", dict, default={})
    if form.get("type") != "json_schema":
        return None
    schema: JsonObject = field(form, "schema", dict, default={})
    return schema


def _usage(answer: Answer) -> JsonObject:
    """Write the usage, cached tokens beside the input's."""
    used = answer.usage
    return {
        "input_tokens": used.input,
        "cache_creation_input_tokens": used.written,
        "cache_read_input_tokens": used.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": used.written,
            "ephemeral_1h_input_tokens": 0,
        },
        "output_tokens": used.output,
        "output_tokens_details": {"thinking_tokens": answer.reasoning},
        "service_tier": "standard",
    }


def _content(answer: Answer) -> list[JsonObject]:
    """Write the content: thoughts and a block, without one if the answer is empty or refused."""
    made = answer.first
    if not made.thought:
        return _block(answer)
    said = made.thought if answer.ask.thinking.shown else ""
    signed = {"thinking": said, "signature": f"sig{answer.id}"}
    return [{"type": "thinking", **signed}, *_block(answer)]


def _block(answer: Answer) -> list[JsonObject]:
    """Write what was said, or the tool's use."""
    made = answer.first
    if made.tool:
        call = {"id": f"toolu_{answer.id}", "name": made.tool, "input": made.arguments()}
        return [{"type": "tool_use", **call, "caller": {"type": "direct"}}]
    if made.finish == "refusal" or not made.text:
        return []
    return [{"type": "text", "text": made.text, "citations": None}]


def _ending(answer: Answer) -> dict[str, Any]:
    """Write why the answer stopped."""
    refused = answer.first.finish == "refusal"
    why = {"type": "refusal", "category": None, "explanation": answer.first.text}
    return {
        "stop_reason": _STOP[answer.first.finish],
        "stop_sequence": None,
        "stop_details": why if refused else None,
    }


def document(answer: Answer) -> JsonObject:
    """Write an answer as JSON."""
    said = {"content": _content(answer), **_ending(answer)}
    return {**_head(answer), **said, "usage": _usage(answer)}


def _head(answer: Answer) -> JsonObject:
    """Write what is known of a message when it begins."""
    return {
        "id": f"{MESSAGES.id_prefix}{answer.id}",
        "type": "message",
        "role": "assistant",
        "model": answer.ask.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": {**_usage(answer), "output_tokens": 1, "output_tokens_details": None},
    }


def events(answer: Answer) -> Iterator[bytes]:
    """Write an answer as events; the usage at the end is cumulative."""
    for data in event_objects(answer):
        yield frame(data, data["type"])


def event_objects(answer: Answer) -> Iterator[JsonObject]:
    """Write the events as objects."""
    yield {"type": "message_start", "message": _head(answer)}
    yield {"type": "ping"}
    for index, block in enumerate(_content(answer)):
        begun = {**block, **_EMPTY[block["type"]]}
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        for delta in _deltas(answer, block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    counted = {k: v for k, v in _usage(answer).items() if k.endswith(("_tokens", "_details"))}
    yield {"type": "message_delta", "delta": _ending(answer), "usage": counted}
    yield {"type": "message_stop"}


def _deltas(answer: Answer, block: JsonObject) -> Iterator[JsonObject]:
    """Write the thoughts, the text, or a tool's input, bit by bit."""
    made = answer.first
    if block["type"] == "thinking":
        said = tokens.pieces(block["thinking"])
        yield from ({"type": "thinking_delta", "thinking": piece} for piece in said)
        yield {"type": "signature_delta", "signature": block["signature"]}
        return
    if not made.tool:
        yield from ({"type": "text_delta", "text": piece} for piece in tokens.pieces(made.text))
        return
    yield {"type": "input_json_delta", "partial_json": ""}
    given = json.dumps(made.arguments()) if made.finish == "tool" else made.text
    for piece in tokens.pieces(given):
        yield {"type": "input_json_delta", "partial_json": piece}


def error(failure: Failure) -> JsonObject:
    """Write an error."""
    kind = "overloaded_error" if failure.kind == "overloaded" else "api_error"
    named = {"type": _ERRORS.get(failure.status, kind), "message": failure.message}
    return {"type": "error", "error": named}


def caches(ask: Ask) -> bool:
    """Say whether the request marks anything for the cache."""
    return '"cache_control"' in json.dumps(ask.body)


ANTHROPIC = Vendor(
    overloaded=529,
    no_credit=Failure(400, "no_credit", _NO_CREDIT),
    error=error,
    error_headers=lambda _: {},
    limits=limits.anthropic,
)
MESSAGES = Shape(
    path="/v1/messages",
    id_prefix="msg_",
    vendor=ANTHROPIC,
    parse=parse,
    document=document,
    events=events,
    caches=caches,
)
