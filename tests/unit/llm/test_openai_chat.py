"""OpenAI's chat completions, and the ways of the servers that speak its format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from papayya_core.call import Message, Tokens, ToolCall, ToolResult
from papayya_llm import schemas
from tests.unit.llm.wire import hear

CHAT = schemas.by_name("openai.chat")
PATH = "/v1/chat/completions"
PICTURE = "data:image/png;base64," + "iVBORw0KGgo" * 100
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
}
ASKED_FOR = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city":"Bergen"}'},
}
CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Weather in Oslo and Bergen?"},
    {"role": "assistant", "content": None, "tool_calls": [ASKED_FOR]},
    {"role": "tool", "tool_call_id": "call_0", "content": "rain"},
    {"role": "assistant", "content": "And?", "tool_calls": [ASKED_FOR]},
    {"role": "tool", "tool_call_id": "call_1", "content": '{"sky":"clear"}'},
    {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "sun"}]},
]
ANSWER = {
    "id": "chatcmpl-9x",
    "object": "chat.completion",
    "created": 1790000000,
    "model": "gpt-5.4-mini-2026-03-01",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Dry, 12 °C.", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 1200,
        "completion_tokens": 50,
        "total_tokens": 1250,
        "prompt_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 100},
        "completion_tokens_details": {"reasoning_tokens": 40, "audio_tokens": 0},
    },
}


def ask(**body: Any) -> Any:
    """Read a request of these fields."""
    full = {"model": "gpt-5.4-mini", "messages": CONVERSATION, **body}
    return CHAT.ask(PATH, full, len(json.dumps(full)), "openai")


def test_a_request() -> None:
    """Model, limits, samples, tools and the latest tool results are read."""
    asked = ask(max_completion_tokens=300, n=3, stream=True, tools=[WEATHER])
    assert (asked.provider, asked.schema, asked.model) == ("openai", "openai.chat", "gpt-5.4-mini")
    assert (asked.kind, asked.stream, asked.samples, asked.max_tokens) == ("llm", True, 3, 300)
    assert asked.tools == ("get_weather",)
    assert asked.tool_results == (
        ToolResult("call_1", None, '{"sky":"clear"}'),
        ToolResult("call_2", None, "sun"),
    )
    assert asked.unbounded is None


def test_no_limit() -> None:
    """A request without a limit says so, and asks for one sample."""
    assert (ask().max_tokens, ask().samples, ask().stream) == (None, 1, False)


def test_the_older_limit() -> None:
    """``max_tokens`` counts where the newer name is missing."""
    assert ask(max_tokens=7).max_tokens == 7


def test_a_deployment() -> None:
    """Azure's path names the model where the body does not."""
    path = "/openai/deployments/prod-mini/chat/completions"
    assert CHAT.ask(path, {"messages": []}, 15, "azure.ai.openai").model == "prod-mini"


def test_images_are_counted_not_measured() -> None:
    """A picture in the body is one image, and its base64 is no text."""
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": PICTURE}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    with_pictures = ask(messages=[{"role": "user", "content": parts}])
    parts[1]["image_url"] = {"url": ""}
    assert with_pictures.images == 2
    assert with_pictures.body_bytes == ask(messages=[{"role": "user", "content": parts}]).body_bytes


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"web_search_options": {}}, "web search"),
        ({"plugins": [], "search_parameters": None}, None),
        ({"web_search_options": {"search_context_size": "low"}}, "web search"),
        ({"model": "gpt-5-search-preview"}, "web search"),
        ({"model": "openai/gpt-5:online"}, "web search"),
        ({"model": "groq/compound-mini"}, "web search"),
        ({"tools": [{"type": "browser_search"}]}, "server tool browser_search"),
        ({"tools": [{"type": "custom", "custom": {"name": "sql"}}]}, None),
        ({"messages": [{"content": [{"type": "file", "file": {"file_id": "file-1"}}]}]}, "file"),
        (
            {"messages": [{"content": [{"type": "file", "file": {"file_data": "JVBE"}}]}]},
            "document",
        ),
        ({"models": ["openai/gpt-5.4", "anthropic/claude-opus-4-7"]}, "other models"),
        ({"service_tier": "priority"}, "priority"),
        ({"service_tier": "auto"}, None),
        ({"modalities": ["text", "audio"]}, "audio"),
    ],
)
def test_no_bound(body: dict[str, Any], why: str | None) -> None:
    """What cannot be bounded by the body and the limit says why."""
    assert ask(**body).unbounded == why


def test_perplexity_searches_always() -> None:
    """A provider whose every answer searches the web has no bound."""
    assert CHAT.ask(PATH, {"model": "sonar"}, 17, "perplexity").unbounded == "web search"


def test_an_answer() -> None:
    """Text, ids, finish and tokens by class are read; cached tokens are inside the prompt's."""
    got = CHAT.answer(ANSWER)
    assert (got.model, got.response_id) == ("gpt-5.4-mini-2026-03-01", "chatcmpl-9x")
    assert (got.text, got.finish, got.whole) == ("Dry, 12 °C.", "stop", True)
    assert got.tokens == Tokens(76, 1024, 100, 0, 50, 40)
    assert got.seen == len("Dry,12°C.")


def test_samples() -> None:
    """Several samples are all kept, and the end that tells most is the answer's."""
    choices = [
        {"index": 0, "message": {"content": "one"}, "finish_reason": "stop"},
        {"index": 1, "message": {"content": "tw"}, "finish_reason": "length"},
    ]
    got = CHAT.answer({**ANSWER, "choices": choices})
    assert (got.text, got.finish) == ("one\n\ntw", "length")


def test_tool_calls() -> None:
    """Tools asked for come with the arguments as the model wrote them."""
    message = {"content": None, "tool_calls": [ASKED_FOR]}
    got = CHAT.answer({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    assert got.tool_calls == (ToolCall("call_1", "get_weather", '{"city":"Bergen"}'),)
    assert (got.finish, got.tokens, got.text) == ("tool_calls", None, "")


def test_the_older_function_call() -> None:
    """A ``function_call`` is a tool call without an id."""
    message = {"function_call": {"name": "f", "arguments": "{}"}}
    got = CHAT.answer({"choices": [{"message": message, "finish_reason": "function_call"}]})
    assert (got.tool_calls, got.finish) == ((ToolCall(None, "f", "{}"),), "tool_calls")


def test_a_refusal() -> None:
    """A refusal is its own text, and counts as filtered, whatever the finish reason."""
    message = {"content": None, "refusal": "I can't help with that."}
    got = CHAT.answer({"choices": [{"message": message, "finish_reason": "stop"}]})
    assert (got.text, got.finish) == ("I can't help with that.", "content_filter")


def test_an_error_with_200() -> None:
    """An error that a gateway sends as an answer is not whole."""
    assert not CHAT.answer({"error": {"message": "upstream died", "code": 502}}).whole


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        pytest.param({"prompt_tokens": 9, "completion_tokens": 3}, Tokens(9, output=3), id="bare"),
        pytest.param(
            {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 120,
                "prompt_cache_hit_tokens": 64,
                "prompt_cache_miss_tokens": 36,
            },
            Tokens(36, 64, output=20),
            id="deepseek",
        ),
        pytest.param(
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "prompt_tokens_details": {"cached_tokens": 8},
                "completion_tokens_details": {"reasoning_tokens": 94},
            },
            Tokens(24, 8, output=103, reasoning=94),
            id="reasoning beside the completion (xAI)",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 75},
            Tokens(10, output=65, reasoning=60),
            id="thoughts in the total only (Google's compatible server)",
        ),
        pytest.param(
            {
                "prompt_tokens": 100,
                "completion_tokens": 5,
                "total_tokens": 105,
                "prompt_tokens_details": {"cached_tokens": 0},
                "cached_tokens": 60,
            },
            Tokens(100, output=5),
            id="details win",
        ),
        pytest.param(
            {
                "prompt_tokens": 100,
                "completion_tokens": 5,
                "total_tokens": 105,
                "cached_tokens": 60,
            },
            Tokens(40, 60, output=5),
            id="moonshot",
        ),
        pytest.param(
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 615,
                "cache_read_input_tokens": 400,
                "cache_creation_input_tokens": 200,
            },
            Tokens(10, 400, 200, output=5),
            id="cached beside the prompt",
        ),
        pytest.param(
            {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None},
            None,
            id="nulls tell nothing",
        ),
        pytest.param({"prompt_tokens": 0, "completion_tokens": 0}, Tokens(), id="zero is told"),
    ],
)
def test_usage(usage: dict[str, Any], tokens: Tokens | None) -> None:
    """Each server's way of counting gives the same classes, disjoint."""
    assert CHAT.answer({**ANSWER, "usage": usage}).tokens == tokens


def chunk(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Write a chunk."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m-1"}
    return {**head, "choices": list(choices), **more}


def piece(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """Write one choice of a chunk."""
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


def test_a_stream() -> None:
    """Pieces are joined, the usage comes in a chunk of its own, and ``[DONE]`` is the end."""
    got = hear(
        CHAT,
        chunk(prompt_filter_results=[], model=""),
        chunk(piece(role="assistant", content="")),
        chunk(piece(content="Hel")),
        chunk(piece(content="lo")),
        chunk(piece(finish="stop")),
        chunk(usage=USAGE),
        "[DONE]",
    )
    assert (got.text, got.finish, got.whole, got.seen) == ("Hello", "stop", True, 5)
    assert (got.model, got.response_id, got.tokens) == ("m-1", "chatcmpl-1", Tokens(9, output=4))


def test_the_first_output() -> None:
    """A role or an empty piece is no output; text, thoughts and tool calls are."""
    listener = CHAT.stream()
    assert not listener.feed(None, chunk(piece(role="assistant", content="")))
    assert not listener.feed(None, chunk(piece(finish="stop")))
    assert not listener.feed(None, chunk(usage=USAGE))
    assert listener.feed(None, chunk(piece(content="a")))
    assert listener.feed(None, chunk(piece(reasoning_content="hm")))
    assert listener.feed(None, chunk(piece(tool_calls=[{"index": 0, "id": "c"}])))


def test_streamed_tool_calls() -> None:
    """Arguments that come in pieces are joined per call."""
    got = hear(
        CHAT,
        chunk(piece(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f"}}])),
        chunk(piece(tool_calls=[{"index": 0, "function": {"arguments": '{"x"'}}])),
        chunk(piece(tool_calls=[{"index": 1, "id": "b", "function": {"name": "g"}}])),
        chunk(piece(tool_calls=[{"index": 1, "function": {"arguments": "{}"}}])),
        chunk(piece(tool_calls=[{"index": 0, "function": {"arguments": ":1}"}}])),
        chunk(piece(finish="tool_calls")),
        "[DONE]",
    )
    assert got.tool_calls == (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}"))


def test_calls_of_one_index() -> None:
    """Calls that a server gives the same index are told apart by their ids."""
    calls = [
        {"index": 0, "id": name, "function": {"name": name, "arguments": "{}"}} for name in "ab"
    ]
    got = hear(CHAT, chunk(piece(tool_calls=calls)), "[DONE]")
    assert [call.name for call in got.tool_calls] == ["a", "b"]


def test_interleaved_samples() -> None:
    """Pieces of several samples do not mix."""
    told = [chunk(piece(i, content=f"{i}{word}")) for word in "ab" for i in (0, 1)]
    got = hear(CHAT, *told, chunk(piece(0, "stop"), piece(1, "length")), "[DONE]")
    assert (got.text, got.finish) == ("0a0b\n\n1a1b", "length")


@pytest.mark.parametrize(
    ("events", "whole"),
    [
        ([chunk(piece(content="a"))], False),
        ([chunk(piece(content="a", finish="stop"))], False),
        ([chunk(piece(finish="stop")), chunk(usage=USAGE)], True),
        ([chunk(piece(finish="stop"), usage=USAGE)], True),
        ([chunk(piece(0, "stop"), piece(1)), chunk(usage=USAGE)], False),
        ([chunk(piece(content="a")), {"error": {"message": "overloaded"}}, "[DONE]"], False),
        ([], False),
    ],
)
def test_whole(events: list[Any], whole: bool) -> None:
    """A stream is whole at its end mark, or when usage and every sample's end were seen."""
    assert hear(CHAT, *events).whole is whole


def test_groq() -> None:
    """Groq tells the usage of a stream in a field of its own."""
    got = hear(
        CHAT, chunk(piece(content="a")), chunk(piece(finish="stop"), x_groq={"usage": USAGE})
    )
    assert (got.tokens, got.whole) == (Tokens(9, output=4), True)


def test_mistral() -> None:
    """Mistral's thoughts are parts of the content: counted, not shown."""
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}]}]
    told = [chunk(piece(content=thinking)), chunk(piece(content=[{"type": "text", "text": "Yes"}]))]
    got = hear(CHAT, *told, chunk(piece(content="!", finish="stop"), usage=USAGE), "[DONE]")
    assert (got.text, got.seen) == ("Yes!", 7)


def test_for_people() -> None:
    """The prompt reads as roles and text; what is no text stands in brackets."""
    parts = [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    body = {"messages": [*CONVERSATION[:4], {"role": "user", "content": parts}]}
    assert CHAT.messages(body) == (
        Message("system", "Be brief."),
        Message("user", "Weather in Oslo and Bergen?"),
        Message("assistant", '[calls get_weather({"city":"Bergen"})]'),
        Message("tool", "rain"),
        Message("user", "See\n[image]"),
    )


def test_completions() -> None:
    """The older completions have a prompt, or several, and text in their choices."""
    schema = schemas.by_name("openai.completions")
    body = {"model": "instruct", "prompt": ["a", "b"], "n": 2, "max_tokens": 5}
    asked = schema.ask("/v1/completions", body, 60, "openai")
    assert (asked.samples, asked.max_tokens, asked.schema) == (4, 5, "openai.completions")
    got = schema.answer({"choices": [{"text": "hi", "finish_reason": "stop"}], "usage": USAGE})
    assert (got.text, got.finish, got.tokens) == ("hi", "stop", Tokens(9, output=4))
    assert schema.messages({"prompt": "Say"}) == (Message("user", "Say"),)
