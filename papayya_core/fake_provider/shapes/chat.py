"""OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from papayya_core.fake_provider import tokens
from papayya_core.fake_provider.answer import Answer, Choice
from papayya_core.fake_provider.ask import (
    Ask,
    BadRequest,
    JsonObject,
    field,
    positive,
    read_message,
    required,
)
from papayya_core.fake_provider.shapes import thinking
from papayya_core.fake_provider.shapes.base import (
    Shape,
    choice,
    frame,
    function,
    objects,
)
from papayya_core.fake_provider.shapes.openai import OPENAI, functions, prompt_details, schema

_FINISH = {"stop": "stop", "tool": "tool_calls", "length": "length", "refusal": "stop"}
MOST_SAMPLES = 128


def parse(body: JsonObject) -> Ask:
    """Read a request."""
    tools = tuple(
        function(field(tool, "function", dict, default={}), "parameters")
        for tool in functions(body)
    )
    messages = objects(required(body, "messages", list), "messages")
    samples = positive(body, "n") or 1
    options = field(body, "stream_options", dict, default={})
    if not messages or samples > MOST_SAMPLES:
        raise BadRequest(f"'messages' must not be empty, and 'n' at most {MOST_SAMPLES}.")
    return Ask(
        body=body,
        model=required(body, "model", str),
        messages=tuple(map(read_message, messages)),
        schema=schema(field(body, "response_format", dict, default={}), inside="json_schema"),
        tools=tools,
        tool_choice=choice(body.get("tool_choice"), tools),
        max_tokens=positive(body, "max_completion_tokens", "max_tokens"),
        samples=samples,
        stream=field(body, "stream", bool, default=False),
        stream_usage=options.get("include_usage") is True,
        thinking=thinking.openai(field(body, "reasoning_effort", str)),
    )


def usage(answer: Answer) -> JsonObject:
    """Write the usage, cached tokens inside the prompt's and thoughts inside the completion's."""
    used = answer.usage
    return {
        "prompt_tokens": used.prompt,
        "completion_tokens": used.output,
        "total_tokens": used.prompt + used.output,
        "prompt_tokens_details": {**prompt_details(answer), "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _finish(ask: Ask, made: Choice) -> str:
    """Name the finish reason; a tool that the request named is not the model's choice."""
    named = made.finish == "tool" and ask.tool_choice == made.tool
    return "stop" if named else _FINISH[made.finish]


def _calls(answer: Answer, number: int, made: Choice) -> list[JsonObject]:
    """Write the tool call of a choice."""
    call = {"name": made.tool, "arguments": made.text}
    return [{"id": f"call_{answer.id[:20]}{number}", "type": "function", "function": call}]


def document(answer: Answer) -> JsonObject:
    """Write an answer as JSON."""
    choices = []
    for number, made in enumerate(answer.choices):
        refused = made.finish == "refusal"
        message: JsonObject = {
            "role": "assistant",
            "content": None if refused or made.tool else made.text,
            "refusal": made.text if refused else None,
            "annotations": [],
        }
        message |= {"tool_calls": _calls(answer, number, made)} if made.tool else {}
        ended = {"logprobs": None, "finish_reason": _finish(answer.ask, made)}
        choices.append({"index": number, "message": message, **ended})
    return {**_head(answer, "chat.completion"), "choices": choices, "usage": usage(answer)}


def _head(answer: Answer, kind: str) -> JsonObject:
    """Write what a completion and its chunks have in common."""
    return {
        "id": f"{CHAT.id_prefix}{answer.id}",
        "object": kind,
        "created": answer.created,
        "model": answer.ask.model,
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
    }


def events(answer: Answer) -> Iterator[bytes]:
    """Write an answer as chunks; the usage comes last, if it was asked for."""
    counted = answer.ask.stream_usage
    head = _head(answer, "chat.completion.chunk") | ({"usage": None} if counted else {})
    for number, made in enumerate(answer.choices):
        for delta in _deltas(answer, number, made):
            part = {"index": number, "delta": delta, "logprobs": None, "finish_reason": None}
            yield frame({**head, "choices": [part]})
        end = {"index": number, "delta": {}, "logprobs": None}
        yield frame({**head, "choices": [{**end, "finish_reason": _finish(answer.ask, made)}]})
    if counted:
        yield frame({**head, "choices": [], "usage": usage(answer)})
    yield b"data: [DONE]\n\n"


def _deltas(answer: Answer, number: int, made: Choice) -> Iterator[JsonObject]:
    """Write what the chunks of one choice add."""
    start: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
    if made.tool:
        (call,) = _calls(answer, number, made)
        call = {"index": 0, **call, "function": {"name": made.tool, "arguments": ""}}
        yield {**start, "content": None, "tool_calls": [call]}
    else:
        yield start
    for piece in tokens.pieces(made.text):
        if made.tool:
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
        else:
            yield {"refusal" if made.finish == "refusal" else "content": piece}


CHAT = Shape(
    path="/v1/chat/completions",
    id_prefix="chatcmpl-",
    vendor=OPENAI,
    parse=parse,
    document=document,
    events=events,
    caches=lambda _: True,
)
