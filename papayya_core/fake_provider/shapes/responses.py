"""OpenAI's responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from papayya_core.fake_provider import tokens
from papayya_core.fake_provider.answer import Answer
from papayya_core.fake_provider.ask import (
    Ask,
    BadRequest,
    JsonObject,
    Message,
    field,
    positive,
    read_message,
    required,
)
from papayya_core.fake_provider.shapes.base import (
    Shape,
    choice,
    frame,
    function,
    objects,
    openai_error,
    openai_error_headers,
)

_ECHOED = (
    "background",
    "conversation",
    "instructions",
    "max_output_tokens",
    "metadata",
    "previous_response_id",
    "temperature",
    "top_p",
    "user",
)


def parse(body: JsonObject) -> Ask:
    """Read a request."""
    listed = objects(field(body, "tools", list, default=[]), "tools")
    tools = tuple(function(tool, "parameters") for tool in listed if tool.get("type") == "function")
    instructions = field(body, "instructions", str)
    system = (Message("system", instructions),) if instructions else ()
    return Ask(
        body=body,
        model=required(body, "model", str),
        messages=(*system, *_input(body.get("input"))),
        schema=_schema(field(body, "text", dict, default={})),
        tools=tools,
        tool_choice=choice(body.get("tool_choice"), tools),
        max_tokens=positive(body, "max_output_tokens"),
        stream=field(body, "stream", bool, default=False),
    )


def _input(given: object) -> tuple[Message, ...]:
    """Read the input: a text or a list of items."""
    if isinstance(given, str):
        return (Message("user", given),)
    if not isinstance(given, list) or not given:
        raise BadRequest("Missing required parameter: 'input' must be a text or a list of items.")
    return tuple(map(read_message, given))


def _schema(text: JsonObject) -> JsonObject | None:
    """Read text.format."""
    form = field(text, "format", dict, default={})
    if form.get("type") == "json_schema":
        schema: JsonObject = field(form, "schema", dict, default={})
        return schema
    return {} if form.get("type") == "json_object" else None


def _usage(answer: Answer) -> JsonObject:
    """Write the usage, cached tokens inside the input's."""
    used = answer.usage
    return {
        "input_tokens": used.prompt,
        "input_tokens_details": {
            "cached_tokens": used.cached,
            "cache_write_tokens": used.written,
        },
        "output_tokens": used.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": used.prompt + used.output,
    }


def _status(answer: Answer) -> str:
    """Say whether the answer was cut short."""
    return "incomplete" if answer.first.finish == "length" else "completed"


def _part(answer: Answer) -> JsonObject:
    """Write the content of the message."""
    if answer.first.finish == "refusal":
        return {"type": "refusal", "refusal": answer.first.text}
    text = answer.first.text
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _item(answer: Answer) -> JsonObject:
    """Write the only output item: a message or a function call."""
    made, status = answer.first, _status(answer)
    if made.tool:
        call = {"call_id": f"call_{answer.id}", "name": made.tool, "arguments": made.text}
        return {"id": f"fc_{answer.id}", "type": "function_call", "status": status, **call}
    said = {"role": "assistant", "content": [_part(answer)]}
    return {"id": f"msg_{answer.id}", "type": "message", "status": status, **said}


def document(answer: Answer) -> JsonObject:
    """Write an answer as JSON."""
    status = _status(answer)
    ended = {
        "status": status,
        "completed_at": answer.created,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "output": [_item(answer)],
        "usage": _usage(answer),
    }
    return {**_head(answer), **ended}


def _head(answer: Answer) -> JsonObject:
    """Write a response that is still in progress."""
    body = answer.ask.body
    return {
        "id": f"{RESPONSES.id_prefix}{answer.id}",
        "object": "response",
        "created_at": answer.created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": answer.ask.model,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "text": body.get("text") or {"format": {"type": "text"}},
        "truncation": "disabled",
        "usage": None,
        **{name: body.get(name) for name in _ECHOED},
    }


def events(answer: Answer) -> Iterator[bytes]:
    """Write an answer as numbered events."""
    for number, (kind, data) in enumerate(_events(answer)):
        yield frame({"type": kind, "sequence_number": number, **data}, kind)


def _events(answer: Answer) -> Iterator[tuple[str, JsonObject]]:
    """Write the events, not yet numbered."""
    head, item = _head(answer), _item(answer)
    empty: JsonObject = {"arguments": ""} if answer.first.tool else {"content": []}
    yield "response.created", {"response": head}
    yield "response.in_progress", {"response": head}
    begun = {**item, **empty, "status": "in_progress"}
    yield "response.output_item.added", {"output_index": 0, "item": begun}
    yield from _call(answer, item) if answer.first.tool else _message(answer, item)
    yield "response.output_item.done", {"output_index": 0, "item": item}
    yield f"response.{_status(answer)}", {"response": document(answer)}


def _call(answer: Answer, item: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Write the arguments of a function call, bit by bit."""
    where = {"item_id": item["id"], "output_index": 0}
    kind = "response.function_call_arguments"
    for piece in tokens.pieces(answer.first.text):
        yield f"{kind}.delta", {**where, "delta": piece}
    yield f"{kind}.done", {**where, "name": item["name"], "arguments": answer.first.text}


def _message(answer: Answer, item: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Write the text or refusal of a message, bit by bit."""
    where = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    part = _part(answer)
    name = "refusal" if part["type"] == "refusal" else "text"
    kind = "response.refusal" if name == "refusal" else "response.output_text"
    logs: dict[str, Any] = {} if name == "refusal" else {"logprobs": []}
    yield "response.content_part.added", {**where, "part": {**part, name: ""}}
    for piece in tokens.pieces(answer.first.text):
        yield f"{kind}.delta", {**where, "delta": piece, **logs}
    yield f"{kind}.done", {**where, name: answer.first.text, **logs}
    yield "response.content_part.done", {**where, "part": part}


RESPONSES = Shape(
    path="/v1/responses",
    id_prefix="resp_",
    overloaded=503,
    parse=parse,
    document=document,
    events=events,
    error=openai_error,
    error_headers=openai_error_headers,
    caches=lambda _: True,
)
