"""Cohere's chat."""

from __future__ import annotations

import pytest

from papayya_core.call import Message, Tokens, ToolCall, ToolResult
from papayya_llm import schemas
from tests.unit.llm.wire import hear

SCHEMA = schemas.by_name("cohere.chat")
CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
ANSWER = {
    "id": "r-1",
    "finish_reason": "TOOL_CALL",
    "message": {"role": "assistant", "tool_plan": "I will look.", "tool_calls": [CALL]},
    "usage": {
        "billed_units": {"input_tokens": 17, "output_tokens": 12},
        "tokens": {"input_tokens": 83, "output_tokens": 63},
    },
}


def test_a_request() -> None:
    """Model, limit, tools and the latest results are read."""
    messages = [
        {"role": "tool", "tool_call_id": "c0", "content": "old"},
        {"role": "assistant", "tool_calls": [CALL]},
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": [{"type": "document", "document": {"data": {"sky": "clear"}}}],
        },
    ]
    tools = [{"type": "function", "function": {"name": "get_weather"}}]
    body = {"model": "command-a", "max_tokens": 9, "messages": messages, "tools": tools}
    asked = SCHEMA.ask("/v2/chat", body, 300, "cohere")
    assert (asked.model, asked.max_tokens, asked.stream) == ("command-a", 9, False)
    assert (asked.tools, asked.body_bytes) == (("get_weather",), 300)
    assert asked.tool_results == (ToolResult("c1", None, '{"sky":"clear"}'),)


def test_an_answer() -> None:
    """What is billed is counted, not what the model was given besides."""
    got = SCHEMA.answer(ANSWER)
    assert (got.response_id, got.finish, got.text) == ("r-1", "tool_calls", "I will look.")
    assert got.tokens == Tokens(17, output=12)
    assert got.tool_calls == (ToolCall("c1", "get_weather", "{}"),)


@pytest.mark.parametrize(
    ("said", "finish", "whole"),
    [("COMPLETE", "stop", True), ("MAX_TOKENS", "length", True), ("ERROR", "other", False)],
)
def test_finish(said: str, finish: str, whole: bool) -> None:
    """Reasons to stop have one vocabulary; an error is no end."""
    got = SCHEMA.answer({"finish_reason": said})
    assert (got.finish, got.whole) == (finish, whole)


def test_a_stream() -> None:
    """Events say what the whole answer says."""
    start = {"tool_calls": {**CALL, "function": {"name": "get_weather", "arguments": ""}}}
    events = [
        {"type": "message-start", "id": "r-1", "delta": {"message": {"role": "assistant"}}},
        {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I will "}}},
        {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "look."}}},
        {"type": "tool-call-start", "index": 0, "delta": {"message": start}},
        {
            "type": "tool-call-delta",
            "index": 0,
            "delta": {"message": {"tool_calls": {"function": {"arguments": "{}"}}}},
        },
        {"type": "tool-call-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": ANSWER["usage"]}},
    ]
    assert hear(SCHEMA, *events) == SCHEMA.answer(ANSWER)
    assert not hear(SCHEMA, *events[:-1]).whole


def test_streamed_text() -> None:
    """Pieces of text are joined."""
    piece = {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hi"}}}}
    assert hear(SCHEMA, piece, piece).text == "HiHi"


def test_for_people() -> None:
    """Messages read as roles and text."""
    messages = [{"role": "user", "content": "Hi"}, ANSWER["message"]]
    assert SCHEMA.messages({"messages": messages}) == (
        Message("user", "Hi"),
        Message("assistant", "I will look.\n[calls get_weather({})]"),
    )
