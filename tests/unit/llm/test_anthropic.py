"""Anthropic's messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from papayya_core.call import Message, Tokens, ToolCall, ToolResult
from papayya_llm import schemas
from papayya_llm.schemas.anthropic import TOOLS_PROMPT, TYPED_TOOL
from tests.unit.llm.wire import hear

SCHEMA = schemas.by_name("anthropic.messages")
TOOL = {"name": "get_weather", "input_schema": {"type": "object"}}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Bergen"}}
USAGE = {
    "input_tokens": 20,
    "cache_creation_input_tokens": 300,
    "cache_read_input_tokens": 1000,
    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
    "output_tokens": 50,
    "output_tokens_details": {"thinking_tokens": 30},
    "service_tier": "standard",
}
ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5-20251001",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "xx"},
        {"type": "text", "text": "Let me look."},
        CALL,
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": USAGE,
}


def ask(path: str = "/v1/messages", **body: Any) -> Any:
    """Read a request of these fields."""
    full = {"model": "claude-haiku-4-5", "max_tokens": 64, "messages": [], **body}
    return SCHEMA.ask(path, full, len(json.dumps(full)), "anthropic")


def test_a_request() -> None:
    """Model, limit, tools and the results given since the last answer are read."""
    messages = [
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "old", "content": "x"}],
        },
        {"role": "assistant", "content": [CALL]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "clear"},
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_2",
                    "is_error": True,
                    "content": [{"type": "text", "text": "no such city"}],
                },
            ],
        },
    ]
    asked = ask(messages=messages, tools=[TOOL], stream=True)
    assert (asked.model, asked.max_tokens, asked.stream) == ("claude-haiku-4-5", 64, True)
    assert (asked.tools, asked.samples, asked.unbounded) == (("get_weather",), 1, None)
    assert asked.tool_results == (
        ToolResult("toolu_1", None, "clear"),
        ToolResult("toolu_2", None, "no such city", is_error=True),
    )


def test_vertex() -> None:
    """Vertex names the model in the path, and streams by it or by the body."""
    path = "/v1/projects/p/locations/l/publishers/anthropic/models/claude-haiku-4-5@20251001"
    asked = SCHEMA.ask(f"{path}:streamRawPredict", {"max_tokens": 1}, 9, "gcp.vertex_ai")
    assert (asked.model, asked.stream) == ("claude-haiku-4-5@20251001", True)


def test_the_unseen_prompt_of_tools() -> None:
    """Tools bring a prompt of the provider's own, which the bound has room for."""
    bare = ask(messages=[{"role": "user", "content": "a"}])
    typed = {"type": "bash_20250124", "name": "bash"}
    body = {"model": "claude-haiku-4-5", "max_tokens": 64, "messages": []}
    assert bare.body_bytes == len(
        json.dumps({**body, "messages": [{"role": "user", "content": "a"}]})
    )
    size = len(json.dumps({**body, "tools": [TOOL, typed]}))
    assert ask(tools=[TOOL, typed]).body_bytes == size + TOOLS_PROMPT + TYPED_TOOL


def test_images() -> None:
    """Pictures are counted, in tools' results too, and their base64 is no text."""
    inline = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "A" * 99},
    }
    linked = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [inline]}
    messages = [{"role": "user", "content": [inline, linked, result]}]
    body = {"model": "claude-haiku-4-5", "max_tokens": 64, "messages": messages}
    asked = ask(messages=messages)
    assert (asked.images, asked.body_bytes) == (3, len(json.dumps(body)) - 198)
    assert asked.unbounded is None


def content(*blocks: dict[str, Any]) -> dict[str, Any]:
    """Write a body of one message."""
    return {"messages": [{"role": "user", "content": list(blocks)}]}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"tools": [{"type": "web_search_20250305"}]}, "server tool web_search_20250305"),
        ({"tools": [{"type": "code_execution_20250825"}]}, "server tool code_execution_20250825"),
        ({"tools": [{"type": "computer_20250124"}]}, "server tool computer_20250124"),
        ({"tools": [{"type": "custom", "name": "x"}]}, None),
        ({"tools": [{"type": "text_editor_20250728"}]}, None),
        ({"mcp_servers": [{"url": "https://x"}]}, "server tool mcp"),
        ({"container": "c_1"}, "container"),
        (content({"type": "document", "source": {"type": "file", "file_id": "f"}}), "file"),
        (content({"type": "document", "source": {"type": "url", "url": "https://x"}}), "file"),
        (content({"type": "image", "source": {"type": "file", "file_id": "f"}}), "file"),
        (content({"type": "document", "source": {"type": "base64", "data": "JVBE"}}), "document"),
        (content({"type": "document", "source": {"type": "text", "data": "Hi"}}), None),
        ({"speed": "fast"}, "fast mode"),
    ],
)
def test_no_bound(body: dict[str, Any], why: str | None) -> None:
    """What the provider keeps, fetches or runs has no bound, and says why."""
    assert ask(**body).unbounded == why


def test_an_answer() -> None:
    """Cached tokens stand beside the input, and what is kept for an hour apart."""
    got = SCHEMA.answer(ANSWER)
    assert (got.model, got.response_id) == ("claude-haiku-4-5-20251001", "msg_1")
    assert (got.text, got.finish, got.whole) == ("Let me look.", "tool_calls", True)
    assert got.tokens == Tokens(20, 1000, 100, 200, 50, 30)
    assert got.tool_calls == (ToolCall("toolu_1", "get_weather", '{"city":"Bergen"}'),)


def test_older_usage() -> None:
    """Without the split, all that was written is short-lived."""
    usage = {"input_tokens": 1, "output_tokens": 2, "cache_creation_input_tokens": 30}
    assert SCHEMA.answer({**ANSWER, "usage": usage}).tokens == Tokens(1, 0, 30, 0, 2)


@pytest.mark.parametrize(
    ("said", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("pause_turn", "other"),
        (None, None),
    ],
)
def test_finish(said: str | None, finish: str | None) -> None:
    """Reasons to stop have one vocabulary."""
    assert SCHEMA.answer({**ANSWER, "stop_reason": said}).finish == finish


def test_a_refusal_explained() -> None:
    """Why it refused stands in for a text that is not there."""
    details = {"type": "refusal", "explanation": "Not that."}
    refused = {**ANSWER, "content": [], "stop_reason": "refusal", "stop_details": details}
    assert SCHEMA.answer(refused).text == "Not that."


START = {
    "type": "message_start",
    "message": {
        **ANSWER,
        "content": [],
        "stop_reason": None,
        "usage": {**USAGE, "output_tokens": 1, "output_tokens_details": None},
    },
}
STREAM: list[dict[str, Any]] = [
    START,
    {"type": "ping"},
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "thinking", "thinking": ""},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "Hm."},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "signature_delta", "signature": "x"},
    },
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Let me "}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "look."}},
    {"type": "content_block_stop", "index": 1},
    {"type": "content_block_start", "index": 2, "content_block": {**CALL, "input": {}}},
    {
        "type": "content_block_delta",
        "index": 2,
        "delta": {"type": "input_json_delta", "partial_json": '{"city":'},
    },
    {
        "type": "content_block_delta",
        "index": 2,
        "delta": {"type": "input_json_delta", "partial_json": '"Bergen"}'},
    },
    {"type": "content_block_stop", "index": 2},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 50, "output_tokens_details": {"thinking_tokens": 30}},
    },
    {"type": "message_stop"},
]


def test_a_stream() -> None:
    """A stream says what the whole answer says; its last count replaces the first."""
    assert hear(SCHEMA, *STREAM) == SCHEMA.answer(ANSWER)


def test_a_stream_left_before_its_mark() -> None:
    """The reason to stop, with its counts, is an end."""
    assert hear(SCHEMA, *STREAM[:-1]).whole


def test_a_broken_stream() -> None:
    """A stream cut in the middle is not whole; its prompt is known."""
    got = hear(SCHEMA, *STREAM[:8])
    assert (got.whole, got.text, got.finish) == (False, "Let me ", None)
    assert got.tokens is not None
    assert (got.tokens.prompt, got.tokens.output) == (1320, 1)


def test_an_error_event() -> None:
    """An error in the stream is no end, and one sent as an answer is none."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert not hear(SCHEMA, START, error, {"type": "message_stop"}).whole
    assert not SCHEMA.answer(error).whole


def test_the_first_output() -> None:
    """Announcements are no output; thoughts, text and a call are."""
    listener = SCHEMA.stream()
    heard = [listener.feed(None, event) for event in STREAM]
    assert [at for at, wrote in enumerate(heard) if wrote] == [3, 7, 8, 10, 11, 12]


def test_for_people() -> None:
    """The system prompt comes first; what is no text stands in brackets."""
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "clear"}
    body = {
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": ANSWER["content"]},
            {"role": "user", "content": [result, {"type": "image", "source": {}}]},
        ],
    }
    assert SCHEMA.messages(body) == (
        Message("system", "Be brief."),
        Message("user", "Weather?"),
        Message("assistant", '[thinking]\nLet me look.\n[calls get_weather({"city":"Bergen"})]'),
        Message("user", "[tool result] clear\n[image]"),
    )
