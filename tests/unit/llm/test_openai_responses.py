"""OpenAI's responses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from papayya_core.call import Message, Tokens, ToolCall, ToolResult
from papayya_llm import schemas
from tests.unit.llm.wire import hear

SCHEMA = schemas.by_name("openai.responses")
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Dry.", "annotations": []}],
}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "get_weather",
    "arguments": '{"city":"Bergen"}',
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "model": "gpt-5.4-2026-03-01",
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        MESSAGE,
    ],
    "usage": {
        "input_tokens": 500,
        "input_tokens_details": {"cached_tokens": 300, "cache_write_tokens": 50},
        "output_tokens": 80,
        "output_tokens_details": {"reasoning_tokens": 60},
        "total_tokens": 580,
    },
}


def ask(**body: Any) -> Any:
    """Read a request of these fields."""
    full = {"model": "gpt-5.4", "input": "Hi", **body}
    return SCHEMA.ask("/v1/responses", full, len(json.dumps(full)), "openai")


def test_a_request() -> None:
    """Model, limit, tools and the results given since the last answer are read."""
    items = [
        {"role": "user", "content": "Weather?"},
        CALL,
        {"type": "function_call_output", "call_id": "call_0", "output": "old"},
        MESSAGE,
        CALL,
        {"type": "function_call_output", "call_id": "call_1", "output": "clear"},
        {"type": "function_call_output", "call_id": "call_2", "output": [{"text": "sun"}]},
    ]
    tools = [{"type": "function", "name": "get_weather"}, {"type": "custom", "name": "sql"}]
    asked = ask(input=items, tools=tools, max_output_tokens=99, stream=True)
    assert (asked.model, asked.max_tokens, asked.stream) == ("gpt-5.4", 99, True)
    assert (asked.tools, asked.unbounded) == (("get_weather", "sql"), None)
    assert asked.tool_results == (
        ToolResult("call_1", None, "clear"),
        ToolResult("call_2", None, "sun"),
    )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"previous_response_id": "resp_0"}, "stored conversation"),
        ({"conversation": "conv_1"}, "stored conversation"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "stored conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "stored prompt"),
        ({"background": True}, "background"),
        ({"background": False, "previous_response_id": None}, None),
        ({"tools": [{"type": "web_search"}]}, "server tool web_search"),
        ({"tools": [{"type": "file_search"}]}, "server tool file_search"),
        ({"tools": [{"type": "code_interpreter"}]}, "server tool code_interpreter"),
        ({"tools": [{"type": "computer_use_preview"}]}, "server tool computer_use_preview"),
        ({"tools": [{"type": "mcp", "server_label": "s"}]}, "server tool mcp"),
        ({"input": [{"content": [{"type": "input_file", "file_id": "file-1"}]}]}, "file"),
        ({"input": [{"content": [{"type": "input_file", "file_url": "https://x/a"}]}]}, "file"),
        ({"input": [{"content": [{"type": "input_image", "file_id": "file-1"}]}]}, "file"),
    ],
)
def test_no_bound(body: dict[str, Any], why: str | None) -> None:
    """What the provider keeps or runs has no bound, and says why."""
    assert ask(**body).unbounded == why


def test_images() -> None:
    """Pictures are counted in messages and in tools' outputs, and their base64 is no text."""
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    items = [
        {"role": "user", "content": [picture]},
        {"type": "function_call_output", "call_id": "c", "output": [picture]},
    ]
    asked = ask(input=items)
    body = {"model": "gpt-5.4", "input": items}
    assert (asked.images, asked.body_bytes) == (2, len(json.dumps(body)) - 2 * 26)


def test_an_answer() -> None:
    """Text, finish and tokens are read; thoughts count, and are not shown."""
    got = SCHEMA.answer(RESPONSE)
    assert (got.model, got.response_id) == ("gpt-5.4-2026-03-01", "resp_1")
    assert (got.text, got.finish, got.whole, got.seen) == ("Dry.", "stop", True, 7)
    assert got.tokens == Tokens(150, 300, 50, 0, 80, 60)


def test_tool_calls() -> None:
    """A completed response that asks for tools ends with tool calls."""
    got = SCHEMA.answer({**RESPONSE, "output": [CALL]})
    assert got.tool_calls == (ToolCall("call_1", "get_weather", '{"city":"Bergen"}'),)
    assert got.finish == "tool_calls"


@pytest.mark.parametrize(
    ("changes", "finish", "whole"),
    [
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "length",
            True,
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            "content_filter",
            True,
        ),
        ({"status": "failed", "error": {"code": "server_error"}}, "other", False),
        ({"status": "queued"}, "other", False),
        (
            {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]},
            "content_filter",
            True,
        ),
    ],
)
def test_ends(changes: dict[str, Any], finish: str, whole: bool) -> None:
    """Incomplete is an end; failed and under way are none; a refusal is filtered."""
    got = SCHEMA.answer({**RESPONSE, **changes})
    assert (got.finish, got.whole) == (finish, whole)


BEGIN = {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": [],
                                                  "usage": None}}  # fmt: skip
PIECES = [
    {"type": "response.output_text.delta", "output_index": 1, "delta": piece}
    for piece in ("Dr", "y.")
]


def test_a_stream() -> None:
    """The last event carries the whole response."""
    got = hear(SCHEMA, BEGIN, *PIECES, {"type": "response.completed", "response": RESPONSE})
    assert got == SCHEMA.answer(RESPONSE)


def test_an_incomplete_stream() -> None:
    """A stream that reached its limit is whole."""
    ended = {
        **RESPONSE,
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
    }
    got = hear(SCHEMA, BEGIN, *PIECES, {"type": "response.incomplete", "response": ended})
    assert (got.finish, got.whole, got.text) == ("length", True, "Dry.")


def test_a_failed_stream() -> None:
    """A stream that failed is not whole, and keeps what it cost."""
    ended = {**RESPONSE, "status": "failed", "error": {"code": "server_error"}}
    got = hear(SCHEMA, BEGIN, *PIECES, {"type": "response.failed", "response": ended})
    assert (got.whole, got.tokens) == (False, Tokens(150, 300, 50, 0, 80, 60))


def test_a_broken_stream() -> None:
    """What was seen of a stream without its end is told, without tokens."""
    got = hear(SCHEMA, BEGIN, *PIECES)
    assert (got.text, got.whole, got.tokens, got.finish) == ("Dry.", False, None, None)
    assert got.response_id == "resp_1"


def test_an_error_event() -> None:
    """An error in the stream is no end."""
    got = hear(SCHEMA, BEGIN, {"type": "error", "code": "server_error", "message": "died"})
    assert not got.whole


def test_an_end_without_items() -> None:
    """A server that leaves the items out of the last event is read by its pieces."""
    ended = {**RESPONSE, "output": []}
    added = {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": {**CALL, "arguments": ""},
    }
    asked = {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{}"}
    got = hear(SCHEMA, added, asked, *PIECES, {"type": "response.completed", "response": ended})
    assert (got.text, got.whole) == ("Dry.", True)
    assert got.tool_calls == (ToolCall("call_1", "get_weather", "{}"),)


def test_the_first_output() -> None:
    """Text, a refusal, thoughts and a tool call are output; their announcement is not."""
    listener = SCHEMA.stream()
    item = {"type": "response.output_item.added", "item": {"type": "message", "content": []}}
    assert not listener.feed("response.created", BEGIN)
    assert not listener.feed("response.output_item.added", item)
    assert listener.feed(None, {"type": "response.reasoning_summary_text.delta", "delta": "Hm"})
    assert listener.feed(None, PIECES[0])


def test_for_people() -> None:
    """Instructions come first; calls and their results read as such."""
    items = [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "Look"}, {"type": "input_image"}],
        },
        {"type": "reasoning", "summary": []},
        CALL,
        {"type": "function_call_output", "call_id": "call_1", "output": "clear"},
    ]
    assert SCHEMA.messages({"instructions": "Be brief.", "input": items}) == (
        Message("system", "Be brief."),
        Message("user", "Look\n[image]"),
        Message("assistant", "[reasoning]"),
        Message("assistant", '[calls get_weather({"city":"Bergen"})]'),
        Message("tool", "clear"),
    )
    assert SCHEMA.messages({"input": "Hi"}) == (Message("user", "Hi"),)
