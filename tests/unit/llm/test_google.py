"""Google's generateContent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from papayya_core.call import Message, Tokens, ToolCall, ToolResult
from papayya_llm import schemas
from tests.unit.llm.wire import hear

SCHEMA = schemas.by_name("google.generate")
PATH = "/v1beta/models/gemini-2.5-flash:generateContent"
STREAM_PATH = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
TOOLS = [{"functionDeclarations": [{"name": "get_weather"}, {"name": "get_time"}]}]
CALL = {"functionCall": {"name": "get_weather", "args": {"city": "Bergen"}}}
USAGE = {
    "promptTokenCount": 500,
    "cachedContentTokenCount": 300,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 60,
    "toolUsePromptTokenCount": 40,
    "totalTokenCount": 620,
}
ANSWER = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [{"text": "Hm.", "thought": True}, {"text": "Dry."}],
            },
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": USAGE,
    "modelVersion": "gemini-2.5-flash-001",
    "responseId": "r-1",
}


def ask(path: str = PATH, **body: Any) -> Any:
    """Read a request of these fields."""
    full = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], **body}
    return SCHEMA.ask(path, full, len(json.dumps(full)), "gcp.gemini")


def test_a_request() -> None:
    """The model is in the path; limit, samples, tools and results are in the body."""
    contents = [
        {"role": "user", "parts": [{"functionResponse": {"name": "old", "response": {}}}]},
        {"role": "model", "parts": [CALL]},
        {
            "role": "user",
            "parts": [
                {
                    "functionResponse": {
                        "id": "f1",
                        "name": "get_weather",
                        "response": {"sky": "clear"},
                    }
                }
            ],
        },
    ]
    config = {"maxOutputTokens": 64, "candidateCount": 2}
    asked = ask(contents=contents, tools=TOOLS, generationConfig=config)
    assert (asked.model, asked.max_tokens, asked.samples) == ("gemini-2.5-flash", 64, 2)
    assert (asked.tools, asked.unbounded) == (("get_weather", "get_time"), None)
    assert asked.tool_results == (ToolResult("f1", "get_weather", '{"sky":"clear"}'),)
    assert (asked.stream, ask(STREAM_PATH).stream) == (False, True)


def test_snake_case() -> None:
    """The API takes snake case as well."""
    parts = {"inline_data": {"mime_type": "image/png", "data": "AAAA"}}
    asked = ask(
        contents={"parts": parts},
        generation_config={"max_output_tokens": 5},
        tools=[{"function_declarations": [{"name": "f"}]}],
    )
    assert (asked.max_tokens, asked.tools, asked.images, asked.unbounded) == (5, ("f",), 1, None)


def test_vertex() -> None:
    """Vertex has a longer path."""
    path = "/v1beta1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent"
    assert ask(path).model == "gemini-2.5-pro"


def test_images() -> None:
    """A picture's base64 is no text."""
    contents = [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "A" * 50}}]}]
    asked = ask(contents=contents)
    assert (asked.images, asked.body_bytes) == (1, len(json.dumps({"contents": contents})) - 50)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"tools": [{"googleSearch": {}}]}, "server tool googleSearch"),
        ({"tools": [*TOOLS, {"codeExecution": {}}]}, "server tool codeExecution"),
        ({"cachedContent": "cachedContents/1"}, "cached content"),
        ({"contents": [{"parts": [{"fileData": {"fileUri": "gs://a"}}]}]}, "file"),
        ({"contents": [{"parts": [{"inlineData": {"mimeType": "application/pdf"}}]}]}, "document"),
        ({"contents": [{"parts": [{"inlineData": {"mimeType": "audio/mp3"}}]}]}, None),
    ],
)
def test_no_bound(body: dict[str, Any], why: str | None) -> None:
    """What the provider keeps or runs has no bound, and says why."""
    assert ask(**body).unbounded == why


def test_an_answer() -> None:
    """The output is candidates and thoughts; the prompt includes what was cached."""
    got = SCHEMA.answer(ANSWER)
    assert (got.model, got.response_id) == ("gemini-2.5-flash-001", "r-1")
    assert (got.text, got.finish, got.whole, got.seen) == ("Dry.", "stop", True, 7)
    assert got.tokens == Tokens(240, 300, output=80, reasoning=60)
    assert got.tokens.total == USAGE["totalTokenCount"]


def test_tool_calls() -> None:
    """A call is an end of its own; the same function twice are two calls."""
    parts = [CALL, {"functionCall": {"name": "get_time"}}, {"functionCall": {"name": "get_time"}}]
    candidate = {"content": {"parts": parts}, "finishReason": "STOP"}
    got = SCHEMA.answer({**ANSWER, "candidates": [candidate]})
    assert got.finish == "tool_calls"
    assert got.tool_calls == (
        ToolCall(None, "get_weather", '{"city":"Bergen"}'),
        ToolCall(None, "get_time", ""),
        ToolCall(None, "get_time", ""),
    )


@pytest.mark.parametrize(
    ("said", "finish"),
    [("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("RECITATION", "content_filter"),
     ("MALFORMED_FUNCTION_CALL", "other")],
)  # fmt: skip
def test_finish(said: str, finish: str) -> None:
    """Reasons to stop have one vocabulary."""
    assert SCHEMA.answer({"candidates": [{"finishReason": said}]}).finish == finish


def test_a_blocked_prompt() -> None:
    """A prompt that was blocked is answered: with nothing."""
    blocked = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 9},
    }
    got = SCHEMA.answer(blocked)
    assert (got.finish, got.tokens, got.whole) == ("content_filter", Tokens(9), True)


def chunks() -> list[dict[str, Any]]:
    """Write the answer in chunks; each tells the usage so far."""
    head = {"modelVersion": "gemini-2.5-flash-001", "responseId": "r-1"}
    parts: list[dict[str, Any]] = [{"text": "Hm.", "thought": True}, {"text": "Dr"}, {"text": "y."}]
    told: list[dict[str, Any]] = [
        {"candidates": [{"content": {"parts": [part]}, "index": 0}], **head} for part in parts
    ]
    told[0]["usageMetadata"] = {"promptTokenCount": 500, "totalTokenCount": 500}
    told[2]["candidates"][0]["finishReason"] = "STOP"
    told[2]["usageMetadata"] = USAGE
    return told


def test_a_stream() -> None:
    """Chunks say what the whole answer says; a list of them is read as well."""
    assert hear(SCHEMA, *chunks()) == SCHEMA.answer(ANSWER)
    assert SCHEMA.answer(chunks()) == SCHEMA.answer(ANSWER)


def test_a_broken_stream() -> None:
    """Without a reason to stop there was no end."""
    got = hear(SCHEMA, *chunks()[:2])
    assert (got.whole, got.text, got.tokens) == (False, "Dr", Tokens(500))
    assert not SCHEMA.answer(chunks()[:2]).whole


def test_for_people() -> None:
    """The system instruction comes first; what is no text stands in brackets."""
    contents = [
        {"role": "user", "parts": [{"text": "Look"}, {"inlineData": {"mimeType": "image/png"}}]},
        {"role": "model", "parts": [CALL]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"a": 1}}}]},
    ]
    body = {"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents": contents}
    assert SCHEMA.messages(body) == (
        Message("system", "Be brief."),
        Message("user", "Look\n[image/png]"),
        Message("model", '[calls get_weather({"city":"Bergen"})]'),
        Message("user", '[tool result] {"a":1}'),
    )
