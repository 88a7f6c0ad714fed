"""Amazon Bedrock's Converse and InvokeModel."""

from __future__ import annotations

import json
from typing import Any

import pytest

from papayya_core.call import Message, Tokens, ToolCall, ToolResult
from papayya_llm import schemas
from tests.unit.llm.test_anthropic import ANSWER as CLAUDE
from tests.unit.llm.test_anthropic import STREAM as CLAUDE_STREAM
from tests.unit.llm.test_openai_chat import ANSWER as GPT
from tests.unit.llm.wire import hear, wrapped

CONVERSE = schemas.by_name("bedrock.converse")
INVOKE = schemas.by_name("bedrock.invoke")
MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
QUOTED = "us.anthropic.claude-haiku-4-5-20251001-v1%3A0"
CALL = {"toolUse": {"toolUseId": "t1", "name": "get_weather", "input": {"city": "Bergen"}}}
USAGE = {
    "inputTokens": 20,
    "outputTokens": 50,
    "totalTokens": 1370,
    "cacheReadInputTokens": 1000,
    "cacheWriteInputTokens": 300,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 200}, {"ttl": "5m", "inputTokens": 100}],
}
ANSWER = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "x"}}},
                {"text": "Let me look."},
                CALL,
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": USAGE,
    "metrics": {"latencyMs": 400},
}
STREAM: list[dict[str, Any]] = [
    {"messageStart": {"role": "assistant"}},
    {
        "contentBlockDelta": {
            "delta": {"reasoningContent": {"text": "Hm."}},
            "contentBlockIndex": 0,
        }
    },
    {"contentBlockStop": {"contentBlockIndex": 0}},
    {"contentBlockDelta": {"delta": {"text": "Let me "}, "contentBlockIndex": 1}},
    {"contentBlockDelta": {"delta": {"text": "look."}, "contentBlockIndex": 1}},
    {"contentBlockStop": {"contentBlockIndex": 1}},
    {
        "contentBlockStart": {
            "start": {"toolUse": {"toolUseId": "t1", "name": "get_weather"}},
            "contentBlockIndex": 2,
        }
    },
    {"contentBlockDelta": {"delta": {"toolUse": {"input": '{"city":'}}, "contentBlockIndex": 2}},
    {"contentBlockDelta": {"delta": {"toolUse": {"input": '"Bergen"}'}}, "contentBlockIndex": 2}},
    {"contentBlockStop": {"contentBlockIndex": 2}},
    {"messageStop": {"stopReason": "tool_use"}},
    {"metadata": {"usage": USAGE, "metrics": {"latencyMs": 400}}},
]


def ask(path: str = f"/model/{QUOTED}/converse", **body: Any) -> Any:
    """Read a request of these fields."""
    return CONVERSE.ask(path, body, len(json.dumps(body)), "aws.bedrock")


def test_a_request() -> None:
    """The model is in the path, or among botocore's fields."""
    config = {"maxTokens": 64}
    tools = {"tools": [{"toolSpec": {"name": "get_weather"}}, {"cachePoint": {"type": "default"}}]}
    asked = ask(inferenceConfig=config, toolConfig=tools, messages=[])
    assert (asked.model, asked.max_tokens, asked.stream) == (MODEL, 64, False)
    assert (asked.tools, asked.unbounded) == (("get_weather",), None)
    assert ask("/converse", modelId=MODEL).model == MODEL
    assert ask(f"/model/{QUOTED}/converse-stream").stream


def test_tool_results() -> None:
    """Those that follow the last answer are read, with their status."""
    messages = [
        {"role": "user", "content": [{"toolResult": {"toolUseId": "t0", "content": []}}]},
        {"role": "assistant", "content": [CALL]},
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "t1", "content": [{"json": {"sky": "clear"}}]}},
                {"toolResult": {"toolUseId": "t2", "content": [{"text": "no"}], "status": "error"}},
            ],
        },
    ]
    assert ask(messages=messages).tool_results == (
        ToolResult("t1", None, '{"sky":"clear"}'),
        ToolResult("t2", None, "no", is_error=True),
    )


@pytest.mark.parametrize("data", ["A" * 40, {"base64": "A" * 40}])
def test_images(data: Any) -> None:
    """A picture's base64 is no text, in whatever wrapping."""
    messages = [
        {"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": data}}}]}
    ]
    asked = ask(messages=messages)
    assert (asked.images, asked.body_bytes) == (1, len(json.dumps({"messages": messages})) - 40)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"modelId": "arn:aws:bedrock:us-east-1:1:prompt/P1"}, "stored prompt"),
        ({"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}},
         "server tool nova_grounding"),
        ({"messages": [{"content": [{"video": {"source": {"s3Location": {}}}}]}]}, "file"),
        ({"messages": [{"content": [{"document": {"format": "pdf"}}]}]}, "document"),
        ({"messages": [{"content": [{"document": {"format": "txt"}}]}]}, None),
    ],
)  # fmt: skip
def test_no_bound(body: dict[str, Any], why: str | None) -> None:
    """What the provider keeps or runs has no bound, and says why."""
    assert ask(**body).unbounded == why


def test_an_answer() -> None:
    """Cached tokens stand beside the input; the answer names neither model nor id."""
    got = CONVERSE.answer(ANSWER)
    assert (got.text, got.finish, got.whole, got.model) == (
        "Let me look.",
        "tool_calls",
        True,
        None,
    )
    assert got.tokens == Tokens(20, 1000, 100, 200, 50)
    assert got.tool_calls == (ToolCall("t1", "get_weather", '{"city":"Bergen"}'),)


def test_a_stream() -> None:
    """Events, by botocore or over HTTP, say what the whole answer says."""
    assert hear(CONVERSE, *STREAM) == CONVERSE.answer(ANSWER)
    listener = CONVERSE.stream()
    for event in STREAM:
        ((name, held),) = event.items()
        listener.feed(name, {**held, "p": "abc"})
    assert listener.done() == CONVERSE.answer(ANSWER)


def test_a_broken_stream() -> None:
    """Without its usage a stream is not whole, nor with an exception in it."""
    got = hear(CONVERSE, *STREAM[:-1])
    assert (got.whole, got.tokens, got.finish) == (False, None, "tool_calls")
    failed = {"modelStreamErrorException": {"message": "died"}}
    assert not hear(CONVERSE, *STREAM, failed).whole


def test_for_people() -> None:
    """The system prompt comes first; what is no text stands in brackets."""
    body = {
        "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
        "messages": [
            {"role": "user", "content": [{"text": "Look"}, {"image": {"format": "png"}}]},
            {"role": "assistant", "content": [CALL]},
        ],
    }
    assert CONVERSE.messages(body) == (
        Message("system", "Be brief."),
        Message("user", "Look\n[image]"),
        Message("assistant", '[calls get_weather({"city":"Bergen"})]'),
    )


INVOKE_PATH = f"/model/{QUOTED}/invoke"


def test_invoke_with_claude() -> None:
    """A body in Anthropic's format is read as such, under Bedrock's names."""
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "tools": [{"name": "f"}]}
    asked = INVOKE.ask(INVOKE_PATH, body, 80, "aws.bedrock")
    assert (asked.model, asked.schema, asked.provider) == (MODEL, "bedrock.invoke", "aws.bedrock")
    assert (asked.max_tokens, asked.tools, asked.stream) == (5, ("f",), False)
    assert INVOKE.answer(CLAUDE) == schemas.by_name("anthropic.messages").answer(CLAUDE)


@pytest.mark.parametrize("wrap", [wrapped, lambda e: {"chunk": {"bytes": json.dumps(e).encode()}}])
def test_invoke_stream_with_claude(wrap: Any) -> None:
    """Events are read in their wrapping, over HTTP and by botocore; Bedrock's counts come last."""
    metrics = {"inputTokenCount": 20, "outputTokenCount": 50}
    last = {**CLAUDE_STREAM[-1], "amazon-bedrock-invocationMetrics": metrics}
    got = hear(INVOKE, *(wrap(event) for event in (*CLAUDE_STREAM[:-1], last)))
    assert got == schemas.by_name("anthropic.messages").answer(CLAUDE)
    path = f"{INVOKE_PATH}-with-response-stream"
    assert INVOKE.ask(path, {"anthropic_version": "b"}, 9, "aws.bedrock").stream


def test_invoke_with_gpt() -> None:
    """OpenAI's open models answer in OpenAI's format."""
    assert INVOKE.answer(GPT) == schemas.by_name("openai.chat").answer(GPT)


def test_invoke_with_nova() -> None:
    """Amazon's own answer as Converse does, and stream as it does."""
    body = {"schemaVersion": "messages-v1", "inferenceConfig": {"max_new_tokens": 9}}
    assert (
        INVOKE.ask("/model/amazon.nova-lite-v1:0/invoke", body, 60, "aws.bedrock").max_tokens == 9
    )
    assert INVOKE.answer(ANSWER) == CONVERSE.answer(ANSWER)
    last = {**STREAM[-1], "amazon-bedrock-invocationMetrics": {"inputTokenCount": 20}}
    assert hear(INVOKE, *map(wrapped, (*STREAM[:-1], last))) == CONVERSE.answer(ANSWER)


@pytest.mark.parametrize(
    ("body", "text", "tokens", "finish"),
    [
        (
            {
                "generation": "Hi",
                "prompt_token_count": 3,
                "generation_token_count": 2,
                "stop_reason": "stop",
            },
            "Hi",
            Tokens(3, output=2),
            "stop",
        ),
        (
            {
                "inputTextTokenCount": 3,
                "results": [{"tokenCount": 2, "outputText": "Hi", "completionReason": "LENGTH"}],
            },
            "Hi",
            Tokens(3, output=2),
            "length",
        ),
        ({"outputs": [{"text": "Hi", "stop_reason": "stop"}]}, "Hi", Tokens(7, output=1), "stop"),
    ],
)
def test_invoke_with_others(body: Any, text: str, tokens: Tokens, finish: str) -> None:
    """Others are read for text and tokens; headers count where the body does not."""
    headers = {"x-amzn-bedrock-input-token-count": "7", "x-amzn-bedrock-output-token-count": "1"}
    got = INVOKE.answer(body, headers)
    assert (got.text, got.tokens, got.finish, got.whole) == (text, tokens, finish, True)


def test_invoke_embeddings() -> None:
    """An embedding model has no output."""
    path = "/model/amazon.titan-embed-text-v2:0/invoke"
    asked = INVOKE.ask(path, {"inputText": "a"}, 17, "aws.bedrock")
    assert (asked.kind, asked.max_tokens) == ("embedding", 0)
    got = INVOKE.answer({"embedding": [0.1], "inputTextTokenCount": 3})
    assert got.tokens == Tokens(3)


def test_invoke_for_people() -> None:
    """A prompt is shown as text, messages by their format."""
    assert INVOKE.messages({"prompt": "Say"}) == (Message("user", "Say"),)
    body = {"anthropic_version": "b", "messages": [{"role": "user", "content": "Hi"}]}
    assert INVOKE.messages(body) == (Message("user", "Hi"),)
