"""Bedrock's dialects: what is read, and how answers and event streams are written."""

from __future__ import annotations

import importlib
import json
from base64 import b64decode
from typing import Any

import pytest

from papayya_core.fake_provider.eventstream import message
from papayya_core.fake_provider.ledger import Ledger
from papayya_core.fake_provider.plan import Plan
from papayya_core.fake_provider.provider import Provider
from tests.unit.fake_provider.asking import (
    CONVERSE,
    CONVERSE_STREAM,
    INVOKE,
    INVOKE_STREAM,
    ask,
    last,
    said,
)

# Amazon's own reader has no types.
EventStreamBuffer: Any = importlib.import_module("botocore.eventstream").EventStreamBuffer
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TOOLS = [
    {"toolSpec": {"name": "look", "inputSchema": {"json": SCHEMA}}},
    {"toolSpec": {"name": "find_invoice", "description": "x", "inputSchema": {"json": {}}}},
    {"cachePoint": {"type": "default"}},
]


@pytest.fixture
def provider() -> Provider:
    """Make a stand-in with a ledger in memory."""
    return Provider(Ledger(None), seed=1)


def user(*content: dict[str, Any]) -> list[dict[str, Any]]:
    """Make a conversation of one message."""
    return [{"role": "user", "content": list(content)}]


def events(plan: Plan) -> list[tuple[str, Any]]:
    """Read an event stream, each frame of which must be one whole message."""
    found = []
    for frame in plan.frames:
        buffer = EventStreamBuffer()
        buffer.add_data(frame)
        (made,) = list(buffer)
        found.append((made.headers[":event-type"], json.loads(made.payload)))
    return found


def test_event_stream() -> None:
    """A message is what Amazon's own reader reads, checksums included."""
    buffer = EventStreamBuffer()
    buffer.add_data(message({"a": "x", "b": "é"}, b"payload") * 2)
    assert [(m.headers, m.payload) for m in buffer] == [({"a": "x", "b": "é"}, b"payload")] * 2


def test_converse_stream_says_the_same(provider: Provider) -> None:
    """A stream's events join to the answer that is given without streaming."""
    whole = said(ask(provider, CONVERSE))
    found = events(ask(provider, CONVERSE_STREAM))
    kinds = [kind for kind, _ in found]
    assert kinds[0] == "messageStart"
    assert kinds[-2:] == ["messageStop", "metadata"]
    text = "".join(e["delta"]["text"] for kind, e in found if kind == "contentBlockDelta")
    assert text == whole["output"]["message"]["content"][0]["text"]
    assert found[-1][1]["usage"] == whole["usage"]


def test_converse_tools(provider: Provider) -> None:
    """A tool is used as the choice wants it, and not again after its result."""

    def used(path: str = CONVERSE, **more: Any) -> Any:
        config = {"tools": TOOLS, **more.pop("choice", {})}
        return ask(provider, path, toolConfig=config, **more)

    made = said(used())
    assert made["stopReason"] == "tool_use"
    named = {"toolChoice": {"tool": {"name": "look"}}}
    call = said(used(choice=named))["output"]["message"]["content"][0]["toolUse"]
    assert (call["name"], isinstance(call["input"]["n"], int)) == ("look", True)
    found = events(used(CONVERSE_STREAM, choice=named))
    starts = [e["start"]["toolUse"]["name"] for kind, e in found if kind == "contentBlockStart"]
    given = [e["delta"]["toolUse"]["input"] for kind, e in found if kind == "contentBlockDelta"]
    assert starts == ["look"]
    assert json.loads("".join(given)) == call["input"]
    result = {"toolUseId": call["toolUseId"], "content": [{"json": {"found": True}}]}
    spoken = said(used(messages=user({"toolResult": result})))
    assert spoken["stopReason"] == "end_turn"


def test_converse_cache(provider: Provider) -> None:
    """A long marked prompt is written to the cache at first, and read from it when repeated."""
    talk = user({"text": "word " * 1_500}, {"cachePoint": {"type": "default"}})
    first = said(ask(provider, CONVERSE, messages=talk))["usage"]
    second = said(ask(provider, CONVERSE, messages=talk))["usage"]
    assert first["cacheWriteInputTokens"] == second["cacheReadInputTokens"] > 1_000
    assert (
        second["totalTokens"]
        == first["totalTokens"] - first["outputTokens"] + (second["outputTokens"])
    )


def test_converse_schema(provider: Provider) -> None:
    """An answer fits the schema that is asked for, which is written as a text."""
    structure = {"jsonSchema": {"name": "x", "schema": json.dumps(SCHEMA)}}
    form = {"textFormat": {"type": "json_schema", "structure": structure}}
    made = said(ask(provider, CONVERSE, outputConfig=form))
    text = made["output"]["message"]["content"][0]["text"]
    assert isinstance(json.loads(text)["n"], int)


def test_pictures(provider: Provider) -> None:
    """Pictures count a fixed number of tokens, and their data none."""
    ask(provider, CONVERSE, messages=user({"text": "What is this?"}))
    before = last(provider).prompt_tokens
    picture = {"image": {"format": "png", "source": {"bytes": "A" * 9_000}}}
    ask(provider, CONVERSE, messages=user({"text": "What is this?"}, picture))
    assert last(provider).prompt_tokens == before + 85


def test_invoke(provider: Provider) -> None:
    """InvokeModel answers as Anthropic does, and counts in its headers."""
    plan = ask(provider, INVOKE)
    made, entry = said(plan), last(provider)
    assert made["id"] == entry.response_id
    assert made["model"] == "claude-haiku-4-5-20251001"
    assert plan.headers["x-amzn-bedrock-output-token-count"] == str(entry.output_tokens)
    assert made["usage"]["output_tokens"] == entry.output_tokens


def test_invoke_stream(provider: Provider) -> None:
    """A stream wraps Anthropic's events, and its last one counts."""
    found = events(ask(provider, INVOKE_STREAM))
    assert {kind for kind, _ in found} == {"chunk"}
    chunks = [json.loads(b64decode(event["bytes"])) for _, event in found]
    assert chunks[0]["message"]["id"] == last(provider).response_id
    counted = chunks[-1]["amazon-bedrock-invocationMetrics"]
    assert counted["inputTokenCount"] == last(provider).prompt_tokens
    assert counted["outputTokenCount"] == chunks[-2]["usage"]["output_tokens"]


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("rate_limit", 429, "ThrottlingException"),
        ("server_error", 500, "InternalServerException"),
        ("overloaded", 503, "ServiceUnavailableException"),
    ],
)
@pytest.mark.parametrize("path", [CONVERSE, CONVERSE_STREAM, INVOKE, INVOKE_STREAM])
def test_errors(provider: Provider, path: str, fault: str, status: int, kind: str) -> None:
    """An error is named in Amazon's header, and the request's id is the ledger's."""
    plan = ask(provider, path, {"x-fake-fault": fault})
    assert (plan.status, plan.headers["x-amzn-errortype"]) == (status, kind)
    assert plan.headers["x-amzn-requestid"] == f"req_{last(provider).id}"
    assert said(plan)["message"]


@pytest.mark.parametrize(
    ("path", "more", "says"),
    [
        (CONVERSE, {"messages": None}, "messages"),
        (CONVERSE, {"messages": []}, "messages"),
        (CONVERSE, {"messages": [{"role": "user", "content": "x"}]}, "content"),
        (CONVERSE, {"messages": [{"content": [{"text": "x"}]}]}, "role"),
        (CONVERSE, {"toolConfig": {"tools": [{}]}}, "toolSpec"),
        (CONVERSE, {"inferenceConfig": {"maxTokens": 0}}, "maxTokens"),
        (CONVERSE, {"toolConfig": {"toolChoice": {"tool": {"name": "x"}}}}, "tool_choice"),
        (INVOKE, {"anthropic_version": None}, "anthropic_version"),
        (INVOKE, {"max_tokens": None}, "max_tokens"),
    ],
)
def test_bad_requests(provider: Provider, path: str, more: dict[str, Any], says: str) -> None:
    """What can't be read is a ValidationException that names the field, and is free."""
    plan = ask(provider, path, **more)
    assert (plan.status, plan.headers["x-amzn-errortype"]) == (400, "ValidationException")
    assert says in said(plan)["message"]
    assert last(provider).cost_nusd == 0
