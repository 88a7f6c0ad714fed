"""What is on the wire beside the answers: thoughts, limits, gzip, broken connections, prices."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from papayya_core.fake_provider.prices import TABLE, Usage, price
from tests.acceptance.fake_provider.stand_in import (
    CLAUDE,
    GPT,
    PATIENCE_S,
    TICKET,
    StandIn,
    item,
    user,
)

pytestmark = pytest.mark.acceptance

ZIPPED = {"x-fake-gzip": "1"}


# --- thoughts ----------------------------------------------------------------------------------


def test_chat_thoughts(shared: StandIn) -> None:
    """A chat completion counts its thoughts inside its tokens, and does not show them."""
    made = shared.openai().chat.completions.create(
        model="gpt-5", messages=user(), reasoning_effort="high", extra_headers=item("effort")
    )
    assert made.usage is not None
    assert made.usage.completion_tokens_details is not None
    entry = shared.entry("effort")
    thought = made.usage.completion_tokens_details.reasoning_tokens
    assert thought == entry["reasoning_tokens"]
    assert 0 < entry["reasoning_tokens"] < made.usage.completion_tokens
    used = Usage(input=made.usage.prompt_tokens, output=made.usage.completion_tokens)
    assert entry["cost_nusd"] == price("gpt-5", used)


@pytest.mark.parametrize("stream", [False, True])
def test_response_thoughts(shared: StandIn, stream: bool) -> None:
    """A response has its thoughts as an item of their own, with a summary if that is asked."""
    asked: Any = {"model": "gpt-5", "input": TICKET, "reasoning": {"effort": "low"}}
    asked["reasoning"]["summary"] = "auto"
    if stream:
        with shared.openai().responses.stream(**asked) as events:
            kinds = [event.type for event in events]
            made: Any = events.get_final_response()
        assert "response.reasoning_summary_text.delta" in kinds
    else:
        made = shared.openai().responses.create(**asked)
    thought, said = made.output
    assert (thought.type, said.type) == ("reasoning", "message")
    assert thought.summary[0].text
    assert 0 < made.usage.output_tokens_details.reasoning_tokens < made.usage.output_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_message_thoughts(shared: StandIn, stream: bool) -> None:
    """A message's thoughts are a signed block before its text, and billed as output."""
    name = f"thinking-{stream}"
    asked: Any = {"model": CLAUDE, "max_tokens": 2_000, "messages": user()}
    asked |= {"thinking": {"type": "adaptive"}, "extra_headers": item(name)}
    if stream:
        with shared.anthropic().messages.stream(**asked) as events:
            made: Any = events.get_final_message()
    else:
        made = shared.anthropic().messages.create(**asked)
    thought, said = made.content
    assert (thought.type, said.type) == ("thinking", "text")
    assert thought.signature
    entry = shared.entry(name)
    assert made.usage.output_tokens == entry["output_tokens"]
    assert made.usage.output_tokens_details.thinking_tokens == entry["reasoning_tokens"] > 0


# --- limits ------------------------------------------------------------------------------------


def test_no_limits(shared: StandIn) -> None:
    """Answers to a key without limits say nothing of any, streamed or not."""
    for stream in (False, True):
        said = shared.openai().chat.completions.with_raw_response.create(
            model=GPT, messages=user(), stream=stream
        )
        assert not [name for name in said.headers if "ratelimit" in name]
        assert "retry-after" not in said.headers


# --- gzip --------------------------------------------------------------------------------------


def test_gzip_answers(shared: StandIn) -> None:
    """Zipped answers are those that are not, whole and streamed, for both clients."""
    chat = shared.openai().chat.completions
    plain = chat.create(model=GPT, messages=user("Zip."))
    packed = chat.with_raw_response.create(
        model=GPT, messages=user("Zip."), user="zip", extra_headers=ZIPPED
    )
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.parse().choices[0].message == plain.choices[0].message
    with chat.stream(
        model=GPT, messages=user("Zip."), user="zip-stream", extra_headers=ZIPPED
    ) as chunks:
        joined = chunks.get_final_completion().choices[0].message
    assert joined.content == plain.choices[0].message.content
    with shared.anthropic().messages.stream(
        model=CLAUDE, max_tokens=300, messages=user("Zip."), extra_headers=ZIPPED
    ) as events:
        assert events.response.headers["content-encoding"] == "gzip"
        assert events.get_final_message().stop_reason == "end_turn"


def test_gzip_setting(tmp_path: Path) -> None:
    """With the setting, whoever reads gzip gets it, and nobody else."""
    asked = {"model": GPT, "messages": user()}
    with StandIn(tmp_path, "--gzip") as stand_in, httpx2.Client() as client:
        url = f"{stand_in.url}/v1/chat/completions"
        packed = client.post(url, json=asked)
        plain = client.post(url, json=asked, headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.json()["object"] == plain.json()["object"]


# --- broken connections ------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_reset(shared: StandIn, stream: bool) -> None:
    """A reset connection is an error in the client, and the answer is billed in full."""
    name = f"reset-{stream}"
    with pytest.raises(openai.APIConnectionError) as failed:
        shared.openai().chat.completions.create(
            model=GPT, messages=user(), stream=stream, extra_headers=item(name, "reset")
        )
    assert isinstance(failed.value.__cause__, httpx2.ReadError)
    entry = shared.entry(name)
    assert (entry["status"], entry["delivered"], entry["fault"]) == (None, False, "reset")
    assert entry["cost_nusd"] > 0


def test_reset_again(shared: StandIn) -> None:
    """The client's own retries of a lost answer are billed one by one, until one comes."""
    headers = item("reset-twice", "reset;times=2")
    client = shared.anthropic(max_retries=2)
    made = client.messages.create(
        model=CLAUDE, max_tokens=99, messages=user("Lost?"), extra_headers=headers
    )
    entries = shared.entries("reset-twice")
    assert [(e["status"], e["ordinal"]) for e in entries] == [(None, 1), (None, 2), (200, 3)]
    assert all(entry["cost_nusd"] > 0 for entry in entries)
    assert made.id == entries[-1]["response_id"]


def test_after_a_reset(shared: StandIn) -> None:
    """The stand-in goes on after many resets at once, on new connections."""
    for number in range(20):
        with pytest.raises((openai.APIConnectionError, anthropic.APIConnectionError)):
            shared.openai().responses.create(
                model=GPT, input=f"{number}", extra_headers=item("resets", "reset")
            )
    assert shared.control("GET", "health")["status"] == "ok"
    assert len(shared.entries("resets")) == 20


# --- prices ------------------------------------------------------------------------------------


def test_prices() -> None:
    """The price table is printed as JSON, and nothing is served."""
    run = [sys.executable, "-m", "papayya_core.fake_provider", "--prices"]
    said = subprocess.run(run, capture_output=True, check=True, timeout=PATIENCE_S).stdout
    rows = {row["model"]: row for row in json.loads(said)}
    assert rows.keys() == TABLE.keys()
    assert rows["gpt-5.4-mini"]["output"] == "4.50"
