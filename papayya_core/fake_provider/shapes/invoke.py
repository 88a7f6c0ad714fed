"""Amazon Bedrock's InvokeModel for Anthropic's models: their messages, in another envelope."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace

from papayya_core.fake_provider.answer import Answer
from papayya_core.fake_provider.ask import Ask, JsonObject, required
from papayya_core.fake_provider.eventstream import MEDIA_TYPE, event
from papayya_core.fake_provider.prices import plain_name
from papayya_core.fake_provider.shapes import aws, messages
from papayya_core.fake_provider.shapes.base import Shape

_METRICS = "amazon-bedrock-invocationMetrics"


def parse(body: JsonObject) -> Ask:
    """Read a request; `model` and `stream` are from its path."""
    required(body, "anthropic_version", str)
    return messages.parse(body)


def _as_claude(answer: Answer) -> Answer:
    """Name answer and model as Anthropic does on Bedrock."""
    named = replace(answer.ask, model=plain_name(answer.ask.model))
    return replace(answer, id=f"bdrk_{answer.id}", ask=named)


def document(answer: Answer) -> JsonObject:
    """Write an answer as JSON."""
    return messages.document(_as_claude(answer))


def events(answer: Answer) -> Iterator[bytes]:
    """Write an answer as binary events, each around one of Anthropic's; the last one counts."""
    for data in messages.event_objects(_as_claude(answer)):
        counted = {_METRICS: _metrics(answer)} if data["type"] == "message_stop" else {}
        yield event("chunk", {"bytes": b64encode(json.dumps(data | counted).encode()).decode()})


def _metrics(answer: Answer) -> JsonObject:
    """Write Bedrock's own count."""
    used = answer.usage
    return {
        "inputTokenCount": used.input,
        "outputTokenCount": used.output,
        "invocationLatency": aws.LATENCY_MS,
        "firstByteLatency": aws.LATENCY_MS,
        "cacheReadInputTokenCount": used.cached,
        "cacheWriteInputTokenCount": used.written,
    }


def headers(answer: Answer) -> dict[str, str]:
    """Write Bedrock's own count as headers; streams have it at their end."""
    if answer.ask.stream:
        return {"x-amzn-bedrock-content-type": "application/json"}
    used = answer.usage
    return {
        "x-amzn-bedrock-input-token-count": str(used.input),
        "x-amzn-bedrock-output-token-count": str(used.output),
        "x-amzn-bedrock-cache-read-input-token-count": str(used.cached),
        "x-amzn-bedrock-cache-write-input-token-count": str(used.written),
        "x-amzn-bedrock-invocation-latency": str(aws.LATENCY_MS),
    }


INVOKE = Shape(
    path="/model/invoke",
    id_prefix="msg_bdrk_",
    vendor=aws.AWS,
    parse=parse,
    document=document,
    events=events,
    caches=messages.caches,
    headers=headers,
    stream_type=MEDIA_TYPE,
)
