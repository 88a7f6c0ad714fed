"""Amazon Bedrock's Converse, whose stream is binary."""

from __future__ import annotations

import json
from collections.abc import Iterator

from papayya_core.fake_provider import tokens
from papayya_core.fake_provider.answer import Answer
from papayya_core.fake_provider.ask import JsonObject
from papayya_core.fake_provider.eventstream import MEDIA_TYPE, event
from papayya_core.fake_provider.shapes import aws
from papayya_core.fake_provider.shapes.base import Shape
from papayya_core.fake_provider.shapes.converse_request import caches, parse

_STOP = {
    "stop": "end_turn",
    "tool": "tool_use",
    "length": "max_tokens",
    "refusal": "content_filtered",
}


def _usage(answer: Answer) -> JsonObject:
    """Write the usage, cached tokens beside the input's."""
    used = answer.usage
    return {
        "inputTokens": used.input,
        "outputTokens": used.output,
        "totalTokens": used.prompt + used.output,
        "cacheReadInputTokens": used.cached,
        "cacheWriteInputTokens": used.written,
    }


def _content(answer: Answer) -> list[JsonObject]:
    """Write the content: thoughts, and a text or a tool's use unless the answer is empty."""
    made = answer.first
    blocks: list[JsonObject] = []
    if made.thought:
        said = made.thought if answer.ask.thinking.shown else ""
        thoughts = {"text": said, "signature": f"sig{answer.id}"}
        blocks.append({"reasoningContent": {"reasoningText": thoughts}})
    if made.tool:
        call = {"toolUseId": _call_id(answer), "name": made.tool, "input": made.arguments()}
        blocks.append({"toolUse": call})
    elif made.text:
        blocks.append({"text": made.text})
    return blocks


def _call_id(answer: Answer) -> str:
    """Name the tool's use."""
    return f"tooluse_{answer.id}"


def document(answer: Answer) -> JsonObject:
    """Write an answer as JSON; it has no id but the request's."""
    return {
        "output": {"message": {"role": "assistant", "content": _content(answer)}},
        "stopReason": _STOP[answer.first.finish],
        **_counted(answer),
    }


def _counted(answer: Answer) -> JsonObject:
    """Write usage and latency."""
    return {"usage": _usage(answer), "metrics": {"latencyMs": aws.LATENCY_MS}}


def events(answer: Answer) -> Iterator[bytes]:
    """Write an answer as binary events; the usage comes after the stop."""
    yield event("messageStart", {"role": "assistant"})
    for index, block in enumerate(_content(answer)):
        place = {"contentBlockIndex": index}
        if "toolUse" in block:
            begun = {"toolUseId": _call_id(answer), "name": answer.first.tool}
            yield event("contentBlockStart", {"start": {"toolUse": begun}, **place})
        for delta in _deltas(answer, block):
            yield event("contentBlockDelta", {"delta": delta, **place})
        yield event("contentBlockStop", place)
    yield event("messageStop", {"stopReason": _STOP[answer.first.finish]})
    yield event("metadata", _counted(answer))


def _deltas(answer: Answer, block: JsonObject) -> Iterator[JsonObject]:
    """Write the thoughts, the text, or a tool's input, bit by bit."""
    made = answer.first
    if "reasoningContent" in block:
        thoughts = block["reasoningContent"]["reasoningText"]
        for piece in tokens.pieces(thoughts["text"]):
            yield {"reasoningContent": {"text": piece}}
        yield {"reasoningContent": {"signature": thoughts["signature"]}}
    elif "toolUse" in block:
        given = json.dumps(made.arguments()) if made.finish == "tool" else made.text
        yield from ({"toolUse": {"input": piece}} for piece in tokens.pieces(given))
    else:
        yield from ({"text": piece} for piece in tokens.pieces(made.text))


CONVERSE = Shape(
    path="/model/converse",
    id_prefix=None,
    vendor=aws.AWS,
    parse=parse,
    document=document,
    events=events,
    caches=caches,
    stream_type=MEDIA_TYPE,
)
