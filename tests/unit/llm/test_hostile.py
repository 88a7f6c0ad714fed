"""Bodies that are anything at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papayya_core.call import Answered, Asked, Message
from papayya_llm import journal, schemas
from papayya_llm.streams import Watcher
from tests.unit.llm import (
    test_anthropic,
    test_bedrock,
    test_cohere,
    test_google,
    test_openai_chat,
    test_openai_responses,
)
from tests.unit.llm.wire import sse, wrapped

NAMES = (
    "openai.chat",
    "openai.completions",
    "openai.responses",
    "openai.embeddings",
    "anthropic.messages",
    "google.generate",
    "bedrock.converse",
    "bedrock.invoke",
    "cohere.chat",
)
REQUESTS: list[Any] = [
    {
        "model": "m",
        "n": 2,
        "max_tokens": 9,
        "modalities": ["text"],
        "functions": [{"name": "f"}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": test_openai_chat.PICTURE}},
                    {"type": "file", "file": {"file_id": "f"}},
                ],
            }
        ],
    },
    {"prompt": ["a", [1, 2]], "best_of": 2},
    {"input": [[1, 2], "a"], "instructions": "i", "prompt": {"id": "p"}},
    {
        "system": [{"type": "text", "text": "s"}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "data": "AA"}},
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "content": [{"type": "document", "source": {"type": "url"}}],
                    },
                ],
            }
        ],
        "tools": [{"type": "bash_1", "name": "b"}],
        "mcp_servers": [],
    },
    {
        "systemInstruction": {"parts": [{"text": "s"}]},
        "generationConfig": {"maxOutputTokens": 1, "candidateCount": 1},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"inlineData": {"mimeType": "image/png", "data": "AA"}},
                    {"fileData": {"fileUri": "u"}},
                    {"functionResponse": {"id": "i", "name": "n", "response": {"a": 1}}},
                ],
            }
        ],
    },
    {
        "modelId": "m",
        "system": [{"text": "s"}],
        "inferenceConfig": {"maxTokens": 5},
        "toolConfig": {"tools": [{"toolSpec": {"name": "t"}}, {"systemTool": {"name": "s"}}]},
        "messages": [
            {
                "role": "user",
                "content": [
                    {"image": {"source": {"bytes": {"b": "AA"}}}},
                    {"document": {"source": {"s3Location": {}}}},
                    {
                        "toolResult": {
                            "toolUseId": "t",
                            "content": [{"json": {}}],
                            "status": "error",
                        }
                    },
                ],
            }
        ],
    },
    {
        "messages": [
            {"role": "assistant", "tool_plan": "p", "tool_calls": [test_cohere.CALL]},
            {
                "role": "tool",
                "tool_call_id": "c",
                "content": [{"type": "document", "document": {"data": {"a": 1}}}],
            },
        ]
    },
]
GOOD: list[Any] = [
    *REQUESTS,
    test_openai_chat.ANSWER,
    {"model": "m", "messages": test_openai_chat.CONVERSATION, "tools": [test_openai_chat.WEATHER]},
    *(test_openai_chat.chunk(test_openai_chat.piece(content="a", tool_calls=[{"index": 0}])),),
    test_openai_responses.RESPONSE,
    {"input": [test_openai_responses.MESSAGE, test_openai_responses.CALL]},
    *test_openai_responses.PIECES,
    test_anthropic.ANSWER,
    *test_anthropic.STREAM,
    {"messages": [{"role": "user", "content": test_anthropic.ANSWER["content"]}]},
    test_google.ANSWER,
    {"contents": [{"role": "user", "parts": [test_google.CALL]}], "tools": test_google.TOOLS},
    test_bedrock.ANSWER,
    *test_bedrock.STREAM,
    *map(wrapped, test_bedrock.STREAM),
    test_cohere.ANSWER,
]


def fields(value: Any) -> set[str]:
    """Collect all names of fields."""
    if isinstance(value, dict):
        return {*value, *(name for held in value.values() for name in fields(held))}
    return {name for held in value for name in fields(held)} if isinstance(value, list) else set()


WORDS = sorted(fields(GOOD) | {"error", "bytes", "chunk", "url", "image", "source", "inlineData"})
KINDS = ["user", "assistant", "message", "text", "image", "tool_result", "error", "", "[DONE]"]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from([*KINDS, *WORDS, "\ud800", "\x00"])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6)
    ),
    max_leaves=25,
)


ODD: list[Any] = [None, True, -1, 1.5, "x", [], [[]], {}, {"x": []}]


def spoilt(value: Any) -> Iterator[Any]:
    """Put each odd thing in each place of a good body."""
    yield from ODD
    if isinstance(value, list):
        for at, held in enumerate(value):
            yield from ([*value[:at], odd, *value[at + 1 :]] for odd in spoilt(held))
    elif isinstance(value, dict):
        for name, held in value.items():
            yield {other: value[other] for other in value if other != name}
            yield from ({**value, name: odd} for odd in spoilt(held))


@pytest.mark.parametrize("name", NAMES)
def test_one_odd_place(name: str) -> None:
    """A good body with one place of another type, or missing, is read as far as it can be."""
    schema = schemas.by_name(name)
    for good in GOOD:
        for body in spoilt(good):
            read(schema, body)


def read(schema: schemas.Schema, body: Any, path: str = "/model/m/invoke") -> None:
    """Read a body in every way there is."""
    asked = schema.ask(path, body, 10, "openai")
    assert isinstance(asked, Asked)
    assert asked.body_bytes >= 0
    assert asked.samples >= 1
    assert all(isinstance(tool, str) for tool in asked.tools)
    assert all(isinstance(result.content, str) for result in asked.tool_results)
    sound(schema.answer(body))
    assert all(isinstance(m, Message) and isinstance(m.text, str) for m in schema.messages(body))
    listener = schema.stream()
    assert isinstance(listener.feed("content_block_delta", body), bool)
    assert isinstance(listener.feed(None, body), bool)
    sound(listener.done())


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(body=JSON, path=st.sampled_from(["/v1/x", "/model//converse", "", "/models/:m"]))
def test_readers(name: str, body: Any, path: str) -> None:
    """Every reader reads what can be read, and raises nothing."""
    schema = schemas.by_name(name)
    read(schema, body, path)
    assert len(journal.key(schema, path, body)) == 16


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(events=st.lists(JSON, max_size=5))
def test_listeners(name: str, events: list[Any]) -> None:
    """Every listener hears anything, in any order, and raises nothing."""
    listener = schemas.by_name(name).stream()
    for event in events:
        assert isinstance(listener.feed("content_block_delta", event), bool)
        assert isinstance(listener.feed(None, event), bool)
    sound(listener.done())


def sound(answered: Answered) -> None:
    """Insist on what others build on: text is text, and no count is negative."""
    assert isinstance(answered.text, str)
    assert all(
        isinstance(c.name, str) and isinstance(c.arguments, str) for c in answered.tool_calls
    )
    if answered.tokens is not None:
        told = answered.tokens
        counts = (told.input, told.cache_read, told.cache_write, told.cache_write_1h, told.output)
        assert all(isinstance(count, int) and count >= 0 for count in counts)
        assert told.reasoning >= 0


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(
    data=st.binary(max_size=120) | st.lists(JSON, max_size=3).map(lambda e: sse(*e)),
    kind=st.sampled_from(
        ["text/event-stream", "application/json", "application/vnd.amazon.eventstream"]
    ),
    encoding=st.sampled_from(["", "gzip", "deflate"]),
    size=st.integers(1, 50),
)
def test_watchers(name: str, data: bytes, kind: str, encoding: str, size: int) -> None:
    """A watcher lets any bytes pass, and raises nothing."""
    watcher = Watcher(schemas.by_name(name), kind, encoding)
    halves = [data[at : at + size] for at in range(0, len(data), size)]
    assert b"".join(map(watcher.feed, halves)) + watcher.flush() == data
    watched = watcher.finish()
    assert (watched.answered is None) is (watched.error is not None)


@pytest.mark.parametrize("name", NAMES)
def test_deep(name: str) -> None:
    """A body as deep as JSON is read is no trouble."""
    deep: Any = json.loads("[" * 900 + "]" * 900)
    schema = schemas.by_name(name)
    for body in (
        {"messages": deep},
        {"input": deep},
        {"contents": deep},
        {"tools": [{"input": deep}]},
    ):
        schema.ask("/v1/x", body, 10, "openai")
        schema.messages(body)
        sound(schema.answer({"choices": deep, "content": [{"type": "tool_use", "input": deep}]}))


def test_great_counts() -> None:
    """Counts that no model can reach are cut, so that they fit a column."""
    usage = {"prompt_tokens": 10**300, "completion_tokens": 1e300, "total_tokens": 1}
    tokens = schemas.by_name("openai.chat").answer({"usage": usage}).tokens
    assert tokens is not None
    assert tokens.total <= 2 * 10**12


def test_endless_text() -> None:
    """Of an answer without end a bounded part is kept, and all of it counted."""
    listener = schemas.by_name("openai.chat").stream()
    for _ in range(60):
        listener.feed(None, test_openai_chat.chunk(test_openai_chat.piece(content="x" * 100_000)))
    answered = listener.done()
    assert (len(answered.text), answered.seen) == (4_000_000, 6_000_000)
