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
    Thinking,
    field,
    positive,
    read_message,
    required,
)
from papayya_core.fake_provider.shapes import thinking
from papayya_core.fake_provider.shapes.base import (
    Shape,
    choice,
    frame,
    function,
)
from papayya_core.fake_provider.shapes.openai import OPENAI, functions, schema
from papayya_core.fake_provider.shapes.responses_document import (
    ID_PREFIX,
    document,
    head,
    items,
    part,
    status_of,
)

_Events = Iterator[tuple[str, JsonObject]]
_BEGUN: dict[str, JsonObject] = {
    "reasoning": {"summary": []},
    "function_call": {"arguments": "", "status": "in_progress"},
    "message": {"content": [], "status": "in_progress"},
}


def parse(body: JsonObject) -> Ask:
    """Read a request."""
    tools = tuple(function(tool, "parameters") for tool in functions(body))
    instructions = field(body, "instructions", str)
    system = (Message("system", instructions),) if instructions else ()
    return Ask(
        body=body,
        model=required(body, "model", str),
        messages=(*system, *_input(body.get("input"))),
        schema=schema(field(field(body, "text", dict, default={}), "format", dict, default={})),
        tools=tools,
        tool_choice=choice(body.get("tool_choice"), tools),
        max_tokens=positive(body, "max_output_tokens"),
        stream=field(body, "stream", bool, default=False),
        thinking=_thinking(field(body, "reasoning", dict, default={})),
    )


def _thinking(asked: JsonObject) -> Thinking:
    """Read the effort, and whether a summary is wanted: it gives the thoughts."""
    effort = field(asked, "effort", str, default="medium" if asked else None)
    return thinking.openai(effort, shown=bool(asked.get("summary")))


def _input(given: object) -> tuple[Message, ...]:
    """Read the input: a text or a list of items."""
    if isinstance(given, str):
        return (Message("user", given),)
    if not isinstance(given, list) or not given:
        raise BadRequest("Missing required parameter: 'input' must be a text or a list of items.")
    return tuple(map(read_message, given))


def events(answer: Answer) -> Iterator[bytes]:
    """Write an answer as numbered events."""
    for number, (kind, data) in enumerate(_events(answer)):
        yield frame({"type": kind, "sequence_number": number, **data}, kind)


def _events(answer: Answer) -> _Events:
    """Write the events, not yet numbered."""
    begun = head(answer)
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for number, item in enumerate(items(answer)):
        yield from _item(answer, item, number)
    yield f"response.{status_of(answer)}", {"response": document(answer)}


def _item(answer: Answer, item: JsonObject, number: int) -> _Events:
    """Write the events of one output item."""
    begun = {**item, **_BEGUN[item["type"]]}
    yield "response.output_item.added", {"output_index": number, "item": begun}
    where = {"item_id": item["id"], "output_index": number}
    if item["type"] == "reasoning":
        yield from _summary(item, where)
    elif item["type"] == "function_call":
        yield from _call(answer, item, where)
    else:
        yield from _message(answer, where)
    yield "response.output_item.done", {"output_index": number, "item": item}


def _summary(item: JsonObject, where: JsonObject) -> _Events:
    """Write the summary of the thoughts, if it has one, bit by bit."""
    kind = "response.reasoning_summary"
    for number, whole in enumerate(item["summary"]):
        place = {**where, "summary_index": number}
        yield f"{kind}_part.added", {**place, "part": {**whole, "text": ""}}
        for piece in tokens.pieces(whole["text"]):
            yield f"{kind}_text.delta", {**place, "delta": piece}
        yield f"{kind}_text.done", {**place, "text": whole["text"]}
        yield f"{kind}_part.done", {**place, "part": whole}


def _call(answer: Answer, item: JsonObject, where: JsonObject) -> _Events:
    """Write the arguments of a function call, bit by bit."""
    kind = "response.function_call_arguments"
    for piece in tokens.pieces(answer.first.text):
        yield f"{kind}.delta", {**where, "delta": piece}
    yield f"{kind}.done", {**where, "name": item["name"], "arguments": answer.first.text}


def _message(answer: Answer, where: JsonObject) -> _Events:
    """Write the text or refusal of a message, bit by bit."""
    place = {**where, "content_index": 0}
    said = part(answer)
    name = "refusal" if said["type"] == "refusal" else "text"
    kind = "response.refusal" if name == "refusal" else "response.output_text"
    logs: dict[str, Any] = {} if name == "refusal" else {"logprobs": []}
    yield "response.content_part.added", {**place, "part": {**said, name: ""}}
    for piece in tokens.pieces(answer.first.text):
        yield f"{kind}.delta", {**place, "delta": piece, **logs}
    yield f"{kind}.done", {**place, name: answer.first.text, **logs}
    yield "response.content_part.done", {**place, "part": said}


RESPONSES = Shape(
    path="/v1/responses",
    id_prefix=ID_PREFIX,
    vendor=OPENAI,
    parse=parse,
    document=document,
    events=events,
    caches=lambda _: True,
)
