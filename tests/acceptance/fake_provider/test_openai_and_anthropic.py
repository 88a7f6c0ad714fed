"""The stand-in as a process, seen through the providers' own clients."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import anthropic
import httpx2
import openai
import pytest
from pydantic import BaseModel

from papayya_core.fake_provider.book import key_label, read
from papayya_core.fake_provider.prices import Usage, price
from tests.acceptance.fake_provider.stand_in import (
    CLAUDE,
    GPT,
    KEY,
    PATIENCE_S,
    TICKET,
    StandIn,
    item,
    user,
)

pytestmark = pytest.mark.acceptance


class Tag(BaseModel):
    """The answer asked for."""

    category: Literal["billing", "technical", "account"]
    reason: str
    confidence: float


TOOL_SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
CHAT_TOOL: Any = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": TOOL_SCHEMA, "strict": True},
}
RESPONSES_TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "parameters": TOOL_SCHEMA,
    "strict": True,
}
CLAUDE_TOOL: Any = {"name": "get_weather", "input_schema": TOOL_SCHEMA}


def chat(stand_in: StandIn, name: str, fault: str | None = None, **more: Any) -> Any:
    """Ask for a chat completion."""
    asked = {"model": GPT, "messages": user(), "extra_headers": item(name, fault), **more}
    return stand_in.openai().chat.completions.create(**asked)


def respond(stand_in: StandIn, name: str, fault: str | None = None, **more: Any) -> Any:
    """Ask for a response."""
    asked = {"model": GPT, "input": TICKET, "extra_headers": item(name, fault), **more}
    return stand_in.openai().responses.create(**asked)


def message(stand_in: StandIn, name: str, fault: str | None = None, **more: Any) -> Any:
    """Ask for a message."""
    asked = {"model": CLAUDE, "max_tokens": 400, "messages": user(), **more}
    return stand_in.anthropic().messages.create(**asked, extra_headers=item(name, fault))


# --- answers -----------------------------------------------------------------------------------


def test_chat_json(shared: StandIn) -> None:
    """A chat completion parses into the asked type, at the cost that its usage has."""
    client = shared.openai()
    made = client.chat.completions.parse(
        model=GPT,
        messages=user(),
        response_format=Tag,
        user="u1",
        metadata={"org": "a"},
        extra_headers=item("chat-json") | {"idempotency-key": "once"},
    )
    tag = made.choices[0].message.parsed
    assert tag is not None
    assert tag.category == "billing"
    assert made.choices[0].finish_reason == "stop"
    assert made.usage is not None
    used = Usage(input=made.usage.prompt_tokens, output=made.usage.completion_tokens)
    entry = shared.entry("chat-json")
    assert entry["cost_nusd"] == price(GPT, used) > 0
    assert entry["response_id"] == made.id
    assert entry["delivered"] is True
    assert (entry["key"], entry["user"]) == (key_label(KEY), "u1")
    assert (entry["metadata"], entry["idempotency_key"]) == ({"org": "a"}, "once")


def test_chat_stream(shared: StandIn) -> None:
    """Streamed chunks join to the answer that is given without streaming, usage included."""
    plain = chat(shared, "chat-plain", n=2)
    stream = shared.openai().chat.completions.stream(
        model=GPT, messages=user(), n=2, stream_options={"include_usage": True}
    )
    with stream as events:
        kinds = [event.type for event in events]
        final = events.get_final_completion()
    assert kinds.count("content.delta") > 10
    said = [choice.message.content for choice in plain.choices]
    assert [choice.message.content for choice in final.choices] == said
    assert said[0] != said[1]
    assert final.usage == plain.usage


def test_chat_stream_without_usage(shared: StandIn) -> None:
    """A stream has no usage unless it was asked for."""
    chunks = list(chat(shared, "chat-bare", stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_chat_tool(shared: StandIn, stream: bool) -> None:
    """A chat tool is called with arguments that its schema allows."""
    client = shared.openai()
    asked: Any = {"model": GPT, "messages": user("Weather in Rome?"), "tools": [CHAT_TOOL]}
    if stream:
        with client.chat.completions.stream(**asked) as events:
            made: Any = events.get_final_completion()
    else:
        made = client.chat.completions.parse(**asked)
    (call,) = made.choices[0].message.tool_calls
    assert made.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    assert call.function.parsed_arguments["unit"] in {"celsius", "fahrenheit"}


def test_chat_after_tool(shared: StandIn) -> None:
    """Once the tool has answered, the model speaks."""
    first = chat(shared, "tool-1", tools=[CHAT_TOOL]).choices[0].message
    result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "21 degrees"}
    talk = [*user(), first.to_dict(), result]
    second = chat(shared, "tool-2", messages=talk, tools=[CHAT_TOOL]).choices[0]
    assert second.finish_reason == "stop"
    assert second.message.content


def test_chat_json_object(shared: StandIn) -> None:
    """The JSON mode without a schema gives an object."""
    made = chat(shared, "json-object", response_format={"type": "json_object"})
    assert json.loads(made.choices[0].message.content)["category"] == "billing"


@pytest.mark.parametrize("stream", [False, True])
def test_responses(shared: StandIn, stream: bool) -> None:
    """A response parses into the asked type, streamed or not."""
    client = shared.openai()
    name = f"responses-{stream}"
    asked: Any = {"model": "gpt-5-mini", "input": TICKET, "text_format": Tag}
    asked |= {"instructions": "Tag it.", "extra_headers": item(name)}
    if stream:
        with client.responses.stream(**asked) as events:
            kinds = [event.type for event in events]
            made: Any = events.get_final_response()
        assert kinds[0] == "response.created"
        assert kinds[-1] == "response.completed"
        assert "response.output_text.delta" in kinds
    else:
        made = client.responses.parse(**asked)
    assert made.output_parsed.category == "billing"
    assert made.status == "completed"
    used = Usage(input=made.usage.input_tokens, output=made.usage.output_tokens)
    assert shared.entry(name)["cost_nusd"] == price("gpt-5-mini", used) > 0


@pytest.mark.parametrize("stream", [False, True])
def test_responses_tool(shared: StandIn, stream: bool) -> None:
    """A response calls a function with arguments that its schema allows."""
    client = shared.openai()
    asked: Any = {"model": GPT, "input": "Weather?", "tools": [RESPONSES_TOOL]}
    if stream:
        with client.responses.stream(**asked) as events:
            made: Any = events.get_final_response()
    else:
        made = client.responses.parse(**asked)
    (call,) = made.output
    assert call.type == "function_call"
    assert call.parsed_arguments["unit"] in {"celsius", "fahrenheit"}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"}
    talk = [{"role": "user", "content": "Weather?"}, call.to_dict(), result]
    spoken = respond(shared, f"spoken-{stream}", input=talk, tools=[RESPONSES_TOOL])
    assert spoken.output_text


@pytest.mark.parametrize("stream", [False, True])
def test_messages(shared: StandIn, stream: bool) -> None:
    """A message parses into the asked type, streamed or not, with a price of its own."""
    client = shared.anthropic()
    name = f"messages-{stream}"
    asked: Any = {"model": CLAUDE, "max_tokens": 300, "messages": user(), "output_format": Tag}
    asked |= {"system": "Tag it.", "extra_headers": item(name)}
    if stream:
        with client.messages.stream(**asked) as events:
            kinds = {event.type for event in events}
            made: Any = events.get_final_message()
        assert {"text", "message_delta", "message_stop"} <= kinds
    else:
        made = client.messages.parse(**asked)
    assert made.parsed_output.category == "billing"
    assert made.stop_reason == "end_turn"
    used = Usage(input=made.usage.input_tokens, output=made.usage.output_tokens)
    assert shared.entry(name)["cost_nusd"] == price(CLAUDE, used) > 0


@pytest.mark.parametrize("stream", [False, True])
def test_messages_tool(shared: StandIn, stream: bool) -> None:
    """A tool is used with an input that its schema allows, and not again after its result."""
    client = shared.anthropic()
    asked: Any = {"model": CLAUDE, "max_tokens": 300, "tools": [CLAUDE_TOOL]}
    if stream:
        with client.messages.stream(**asked, messages=user()) as events:
            made: Any = events.get_final_message()
    else:
        made = client.messages.create(**asked, messages=user())
    (block,) = made.content
    assert made.stop_reason == "tool_use"
    assert block.input["unit"] in {"celsius", "fahrenheit"}
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "21 degrees"}
    talk = [*user(), {"role": "assistant", "content": made.content}]
    talk.append({"role": "user", "content": [result]})
    spoken = client.messages.create(**asked, messages=talk)
    assert spoken.content[0].type == "text"


def test_models(shared: StandIn) -> None:
    """Both clients can list the models, and look one up."""
    assert GPT in [model.id for model in shared.openai().models.list()]
    assert CLAUDE in [model.id for model in shared.anthropic().models.list()]
    assert shared.anthropic().models.retrieve(CLAUDE).display_name == CLAUDE
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        shared.openai().models.retrieve("gpt-none")


def test_anthropic_cache(shared: StandIn) -> None:
    """A long marked prompt is written to the cache at first, and read from it when repeated."""
    part = {"type": "text", "text": "word " * 1500, "cache_control": {"type": "ephemeral"}}
    first = message(shared, "cache-1", system=[part])
    second = message(shared, "cache-2", system=[part])
    assert first.usage.cache_creation_input_tokens == second.usage.cache_read_input_tokens > 1000
    usage = second.usage
    used = Usage(usage.input_tokens, usage.cache_read_input_tokens, 0, usage.output_tokens)
    entry = shared.entry("cache-2")
    assert entry["cost_nusd"] == price(CLAUDE, used)
    assert entry["cached_tokens"] == usage.cache_read_input_tokens


def test_openai_cache(shared: StandIn) -> None:
    """A long prompt's repetition is read from the cache, inside the prompt's tokens."""
    talk = user("long " * 1500)
    chat(shared, "auto-1", messages=talk)
    usage = chat(shared, "auto-2", messages=talk).usage
    cached = usage.prompt_tokens_details.cached_tokens
    assert 1000 < cached <= usage.prompt_tokens
    used = Usage(usage.prompt_tokens - cached, cached, 0, usage.completion_tokens)
    assert shared.entry("auto-2")["cost_nusd"] == price(GPT, used)


def test_max_tokens(shared: StandIn) -> None:
    """An answer longer than the request allows is cut, and billed for what is left."""
    assert chat(shared, "short-1", max_completion_tokens=5).choices[0].finish_reason == "length"
    cut = message(shared, "short-2", max_tokens=5)
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 5)
    made = respond(shared, "short-3", max_output_tokens=5)
    assert made.incomplete_details.reason == "max_output_tokens"


def test_unknown_model(shared: StandIn) -> None:
    """A model without a price is answered, and its price is marked as not known."""
    chat(shared, "unknown-model", model="gpt-none")
    entry = shared.entry("unknown-model")
    assert entry["price_known"] is False
    assert entry["cost_nusd"] > 0


def test_bad_requests(shared: StandIn) -> None:
    """What a provider would turn down is a 400 that says why, and costs nothing."""
    with pytest.raises(openai.BadRequestError, match="messages"):
        chat(shared, "bad-1", messages=[])
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        message(shared, "bad-2", max_tokens=0)
    with pytest.raises(openai.BadRequestError, match="there are rate_limit"):
        chat(shared, "bad-3", "explosion")
    with pytest.raises(openai.BadRequestError, match="needs a request with tools"):
        chat(shared, "bad-4", "null_tool_call")
    for name in ("bad-1", "bad-2", "bad-3", "bad-4"):
        entry = shared.entry(name)
        assert (entry["status"], entry["cost_nusd"], entry["ordinal"]) == (400, 0, 0)


# --- faults ------------------------------------------------------------------------------------


def test_rate_limit(shared: StandIn) -> None:
    """A 429 carries Retry-After and the limits, and costs nothing."""
    with pytest.raises(openai.RateLimitError) as refused:
        chat(shared, "429-openai", "rate_limit;retry_after=2.5")
    headers = refused.value.response.headers
    assert headers["retry-after"] == "2.5"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.value.code == "rate_limit_exceeded"
    with pytest.raises(anthropic.RateLimitError) as busy:
        message(shared, "429-anthropic", "rate_limit", stream=True)
    assert busy.value.response.headers["retry-after"] == "1"
    assert busy.value.response.headers["anthropic-ratelimit-requests-remaining"] == "0"
    for name in ("429-openai", "429-anthropic"):
        entry = shared.entry(name)
        assert (entry["status"], entry["cost_nusd"]) == (429, 0)
        assert (entry["fault"], entry["delivered"]) == ("rate_limit", True)


def test_rate_limit_then_resumed(shared: StandIn) -> None:
    """With times=1 the client's own retry succeeds, as the body's first processed request."""
    client = shared.openai(max_retries=1)
    headers = item("429-resumed", "rate_limit;times=1;retry_after=0.01")
    made = client.responses.create(model=GPT, input="Once only.", extra_headers=headers)
    assert made.output_text
    entries = shared.entries("429-resumed")
    assert [(e["status"], e["attempt"], e["ordinal"]) for e in entries] == [
        (429, 1, 0),
        (200, 2, 1),
    ]


@pytest.mark.parametrize(
    ("fault", "status"),
    [("server_error", 500), ("overloaded", 503), ("server_error;status=502", 502)],
)
def test_openai_errors(shared: StandIn, fault: str, status: int) -> None:
    """Server errors reach OpenAI's client as such, and cost nothing."""
    name = f"openai-{fault}"
    with pytest.raises(openai.InternalServerError) as failed:
        chat(shared, name, fault, stream=True)
    assert failed.value.status_code == status
    assert shared.entry(name)["cost_nusd"] == 0


@pytest.mark.parametrize(("fault", "status"), [("server_error", 500), ("overloaded", 529)])
def test_anthropic_errors(shared: StandIn, fault: str, status: int) -> None:
    """Server errors reach Anthropic's client as such, and cost nothing."""
    with pytest.raises(anthropic.APIStatusError) as failed:
        message(shared, f"anthropic-{fault}", fault)
    assert failed.value.status_code == status
    assert shared.entry(f"anthropic-{fault}")["cost_nusd"] == 0


def test_slow(shared: StandIn) -> None:
    """A slow answer makes an impatient client give up, and is billed all the same."""
    with pytest.raises(openai.APITimeoutError):
        chat(shared, "slow-1", "slow;seconds=30", timeout=0.2)
    assert chat(shared, "slow-2", "slow;seconds=0.05").choices[0].message.content
    assert shared.entry("slow-1")["delivered"] is False
    assert shared.entry("slow-2")["delivered"] is True
    assert shared.entry("slow-1")["cost_nusd"] > 0


@pytest.mark.parametrize("stream", [False, True])
def test_timeout(shared: StandIn, stream: bool) -> None:
    """A timeout is processed and billed in full, and never answered."""
    name = f"timeout-{stream}"
    with pytest.raises(openai.APITimeoutError):
        respond(shared, name, "timeout", timeout=0.2, stream=stream)
    entry = shared.entry(name)
    assert entry["cost_nusd"] > 0
    assert (entry["status"], entry["delivered"], entry["fault"]) == (None, False, "timeout")


def test_timeout_of_the_server(shared: StandIn) -> None:
    """After its seconds of silence the server closes the connection."""
    with pytest.raises(anthropic.APIConnectionError):
        message(shared, "timeout-closed", "timeout;seconds=0.05")


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (chat, openai.APIConnectionError),
        (respond, openai.APIConnectionError),
        (message, httpx2.RemoteProtocolError),
    ],
)
def test_cut_stream(shared: StandIn, ask: Callable[..., Any], error: type[Exception]) -> None:
    """A stream that is cut fails in the client after some events, and is billed in full."""
    name = f"cut-{ask.__name__}"
    events: list[Any] = []
    with pytest.raises(error), ask(shared, name, "cut_stream;after=4", stream=True) as stream:
        events.extend(stream)
    assert 0 < len(events) <= 4
    entry = shared.entry(name)
    assert entry["delivered"] is False
    assert entry["cost_nusd"] > 0


@pytest.mark.parametrize("ask", [chat, respond, message])
def test_cut_document(shared: StandIn, ask: Callable[..., Any]) -> None:
    """Without a stream the connection breaks in the middle of the body."""
    name = f"cut-json-{ask.__name__}"
    with pytest.raises((openai.APIConnectionError, anthropic.APIConnectionError)):
        ask(shared, name, "cut_stream")
    entry = shared.entry(name)
    assert (entry["delivered"], entry["cost_nusd"] > 0) == (False, True)


@pytest.mark.parametrize("how", ["enum", "missing", "type"])
def test_schema_violation(shared: StandIn, how: str) -> None:
    """The answer is JSON and ends as usual, but does not fit the asked schema."""
    fault = f"schema_violation;how={how}"
    form = {"type": "json_schema", "name": "Tag", "schema": Tag.model_json_schema()}
    made = respond(shared, f"violation-{how}", fault, text={"format": form})
    assert made.status == "completed"
    assert isinstance(json.loads(made.output_text), dict)
    with pytest.raises(ValueError, match="Tag"):
        Tag.model_validate_json(made.output_text)
    called = message(shared, f"violation-tool-{how}", fault, tools=[CLAUDE_TOOL])
    assert called.stop_reason == "tool_use"
    assert not _fits_tool(called.content[0].input)


def _fits_tool(given: dict[str, Any]) -> bool:
    """Check the values of a tool's input."""
    return isinstance(given.get("city"), str) and given.get("unit") in ("celsius", "fahrenheit")


@pytest.mark.parametrize("stream", [False, True])
def test_refusal(shared: StandIn, stream: bool) -> None:
    """A refusal is where each provider puts it."""
    asked: Any = {"model": GPT, "extra_headers": item(f"refusal-{stream}", "refusal;text=No.")}
    talk, client = asked | {"messages": user()}, shared.openai()
    write, said = asked | {"input": TICKET}, asked | {"messages": user(), "max_tokens": 9}
    said["model"] = CLAUDE
    if stream:
        with client.chat.completions.stream(**talk) as chunks:
            completion: Any = chunks.get_final_completion()
        with client.responses.stream(**write) as events:
            response: Any = events.get_final_response()
        with shared.anthropic().messages.stream(**said) as blocks:
            refused: Any = blocks.get_final_message()
    else:
        completion = client.chat.completions.create(**talk)
        response = client.responses.create(**write)
        refused = shared.anthropic().messages.create(**said)
    assert completion.choices[0].message.refusal == "No."
    assert not completion.choices[0].message.content
    assert response.output[0].content[0].refusal == "No."
    assert refused.stop_reason == "refusal"
    assert refused.stop_details.explanation == "No."
    assert refused.content == []


def test_truncation(shared: StandIn) -> None:
    """A truncated answer says so, in each provider's words."""
    completion = chat(shared, "cut-short-1", "truncation;tokens=3").choices[0]
    assert completion.finish_reason == "length"
    assert len(completion.message.content.split()) <= 3
    form = {"type": "json_schema", "name": "Tag", "schema": Tag.model_json_schema()}
    response = respond(shared, "cut-short-2", "truncation", text={"format": form})
    assert (response.status, response.incomplete_details.reason) == (
        "incomplete",
        "max_output_tokens",
    )
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(response.output_text)
    kinds = [e.type for e in respond(shared, "cut-short-3", "truncation", stream=True)]
    assert kinds[-1] == "response.incomplete"
    assert message(shared, "cut-short-4", "truncation").stop_reason == "max_tokens"
    tool = message(shared, "cut-short-5", "truncation", tools=[CLAUDE_TOOL])
    assert (tool.stop_reason, tool.content[0].input) == ("max_tokens", {})


@pytest.mark.parametrize("stream", [False, True])
def test_empty(shared: StandIn, stream: bool) -> None:
    """An empty answer ends as if nothing were wrong, and costs one token of output."""
    name, fault = f"empty-{stream}", "empty"
    if stream:
        chunks = list(chat(shared, name, fault, stream=True))
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        ended = chunks[-1].choices[0].finish_reason
        with shared.anthropic().messages.stream(
            model=CLAUDE, max_tokens=9, messages=user(), extra_headers={"x-fake-fault": fault}
        ) as blocks:
            spoken: Any = blocks.get_final_message()
    else:
        made = chat(shared, name, fault).choices[0]
        said, ended = made.message.content, made.finish_reason
        spoken = message(shared, "empty-message", fault)
        assert respond(shared, "empty-response", fault).output_text == ""
    assert (said, ended) == ("", "stop")
    assert (spoken.content, spoken.stop_reason) == ([], "end_turn")
    assert shared.entry(name)["output_tokens"] == 1


@pytest.mark.parametrize("stream", [False, True])
def test_null_tool_call(shared: StandIn, stream: bool) -> None:
    """A tool is called with null arguments, or an empty input."""
    fault = {"x-fake-fault": "null_tool_call"}
    if stream:
        with shared.anthropic().messages.stream(
            model=CLAUDE,
            max_tokens=99,
            messages=user(),
            tools=[CLAUDE_TOOL],
            extra_headers=fault,
        ) as blocks:
            called: Any = blocks.get_final_message()
    else:
        called = message(shared, "null-1", "null_tool_call", tools=[CLAUDE_TOOL])
    assert (called.stop_reason, called.content[0].input) == ("tool_use", {})
    if not stream:
        made = chat(shared, "null-2", "null_tool_call", tools=[CHAT_TOOL]).choices[0]
        assert made.message.tool_calls[0].function.arguments == "null"
        made = respond(shared, "null-3", "null_tool_call", tools=[RESPONSES_TOOL])
        assert made.output[0].arguments == "null"


# --- control and ledger ------------------------------------------------------------------------


def test_rules_at_runtime(own: StandIn) -> None:
    """Rules come into force when posted, hit what they match, and go when deleted."""
    rules = [
        {"kind": "rate_limit", "match": "charged twice", "times": 1},
        {"kind": "server_error", "item": "i-7"},
        {"kind": "empty", "key": "org-bb"},
        {"kind": "overloaded", "nth": 6},
    ]
    assert len(own.control("POST", "faults", rules)["rules"]) == 4
    with pytest.raises(openai.RateLimitError):
        chat(own, "i-1")
    assert chat(own, "i-1").choices[0].message.content
    with pytest.raises(openai.InternalServerError):
        chat(own, "i-7", messages=user("Else."))
    other = own.openai("sk-org-bb").chat.completions
    assert other.create(model=GPT, messages=user("Else.")).choices[0].message.content == ""
    assert chat(own, "i-5", messages=user("Else.")).choices[0].message.content
    with pytest.raises(openai.InternalServerError):
        chat(own, "i-6", messages=user("Else."))
    assert own.control("DELETE", "faults") == {"rules": []}
    assert chat(own, "i-7", messages=user("Else.")).choices[0].message.content


def test_wrong_rule(own: StandIn) -> None:
    """A rule that can't be is turned down, with what is possible."""
    with pytest.raises(urllib.error.HTTPError) as wrong:
        own.control("POST", "faults", {"kind": "rate_limit", "macth": "x"})
    assert b"it has kind, match" in wrong.value.read()
    wrong.value.close()


def test_totals(own: StandIn) -> None:
    """The ledger's totals are the sums of its entries, by key and by model."""
    for key in ("sk-org-aa", "sk-org-bb"):
        for model in (GPT, "gpt-5"):
            own.openai(key).responses.create(model=model, input="Sum it up.")
    answer = own.control("GET", "ledger?after=2")
    sums = answer["totals"]
    assert [entry["id"] for entry in answer["entries"]] == [3, 4]
    assert sums["billed"] == 4
    assert sums["cost_nusd"] == sum(entry["cost_nusd"] for entry in own.entries())
    assert sums["by_key"].keys() == {key_label("sk-org-aa"), key_label("sk-org-bb")}
    assert sum(part["cost_nusd"] for part in sums["by_model"].values()) == sums["cost_nusd"]


def test_same_answer_after_restart(tmp_path: Path) -> None:
    """A fresh ledger and the same seed give the same answers and numbers, byte by byte."""

    def life(folder: Path) -> list[dict[str, Any]]:
        with StandIn(folder) as stand_in:
            made = [chat(stand_in, "a").to_dict(), chat(stand_in, "a").to_dict()]
            return [*made, message(stand_in, "a").to_dict()]

    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = life(tmp_path / "one"), life(tmp_path / "two")
    assert one == two
    assert one[0] != one[1]


def test_ledger_survives_kill(own: StandIn) -> None:
    """After kill -9 and a torn line, numbers, ordinals and totals go on."""
    chat(own, "before")
    before = own.entry("before")
    own.end(signal.SIGKILL)
    with own.ledger_path.open("ab") as file:
        file.write(b'{"id":2,"time":"2026-')
    own.start()
    assert own.control("GET", "health")["torn_lines"] == 1
    chat(own, "after")
    after = own.entry("after")
    assert own.entries("before") == [before]
    assert (after["id"], after["attempt"], after["ordinal"]) == (2, 2, 2)
    own.restart()
    assert [entry["id"] for entry in own.entries()] == [1, 2]
    assert [entry.row() for entry in read(own.ledger_path)] == own.entries()


def test_kill_under_load(own: StandIn) -> None:
    """Whatever a client received before kill -9 is in the ledger, once, at its usage's price."""
    own.control("POST", "faults", {"kind": "slow", "match": "last", "params": {"seconds": 60}})
    client = own.openai()

    def work(worker: int) -> list[Any]:
        made = []
        with contextlib.suppress(openai.APIConnectionError):
            for n in (*range(15), "last"):
                answer = client.responses.create(model=GPT, input=f"{worker}/{n}")
                made.append(answer)
        return made

    with ThreadPoolExecutor(32) as pool:
        futures = [pool.submit(work, worker) for worker in range(32)]
        deadline = time.monotonic() + PATIENCE_S
        while len(own.entries()) < 32 * 8:
            assert time.monotonic() < deadline
        own.process.send_signal(signal.SIGKILL)
        received = [made for future in futures for made in future.result()]
    own.restart()
    entries = own.entries()
    assert [entry["id"] for entry in entries] == list(range(1, len(entries) + 1))
    booked = {entry["response_id"]: entry["cost_nusd"] for entry in entries}
    assert len(booked) == len(entries)
    for made in received:
        used = Usage(input=made.usage.input_tokens, output=made.usage.output_tokens)
        assert booked[made.id] == price(GPT, used)


def test_times_survive_kill(tmp_path: Path) -> None:
    """A start-up rule that fired its times does not fire again after a restart."""
    rules = tmp_path / "rules.json"
    rules.write_text('{"rules": [{"kind": "rate_limit", "times": 1}]}')
    with StandIn(tmp_path, "--faults", str(rules)) as stand_in:
        with pytest.raises(openai.RateLimitError):
            chat(stand_in, "a")
        stand_in.restart()
        assert chat(stand_in, "a").choices[0].message.content


def test_recorded_before_answered(own: StandIn) -> None:
    """What was never answered is in the ledger, even when the stand-in dies on the way."""
    with pytest.raises(openai.APITimeoutError):
        chat(own, "lost", "slow;seconds=60", timeout=0.2)
    own.restart()
    entry = own.entry("lost", settled=False)
    assert entry["cost_nusd"] > 0
    assert entry["delivered"] is not True


def test_fault_rate(tmp_path: Path) -> None:
    """A rate hits the same share of requests in each life, and a retry gets through."""

    def life(folder: Path) -> list[str]:
        folder.mkdir()
        with StandIn(folder, "--fault-rate", "rate_limit=0.3;retry_after=0.01") as stand_in:
            client = stand_in.openai(max_retries=1)
            for n in range(40):
                assert client.responses.create(model=GPT, input=f"Ticket {n}").output_text
            return [entry["body_sha256"] for entry in stand_in.entries() if entry["fault"]]

    hit = life(tmp_path / "one")
    assert 4 <= len(hit) <= 24
    assert life(tmp_path / "two") == hit


def test_stops_while_silent(own: StandIn) -> None:
    """SIGTERM ends it cleanly, even with a request that is never answered."""
    with pytest.raises(openai.APITimeoutError):
        chat(own, "hanging", "slow;seconds=500", timeout=0.2)
    os.kill(own.process.pid, signal.SIGHUP)
    assert own.control("GET", "health")["status"] == "ok"
    assert own.end(signal.SIGTERM) == 0
    own.start()


def test_ledger_has_one_writer(own: StandIn) -> None:
    """A second stand-in on the same ledger gives up, and says what to do."""
    second = subprocess.run(
        [sys.executable, "-m", "papayya_core.fake_provider", "--ledger", str(own.ledger_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert "in use by another stand-in" in second.stderr


def test_port_file(tmp_path: Path) -> None:
    """The port is in the port file by the time it says that it listens."""
    port = tmp_path / "port"
    with StandIn(tmp_path, "--port-file", str(port), "--latency-ms", "1:3") as stand_in:
        assert stand_in.url.endswith(f":{port.read_text().strip()}")
        assert chat(stand_in, "late").choices
