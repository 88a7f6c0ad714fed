"""Thoughts are asked for in each provider's words, and are a part of the output."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papayya_core.fake_provider.answer import Keeping, compose
from papayya_core.fake_provider.ask import Ask, Message, Thinking, Tool
from papayya_core.fake_provider.dice import Dice
from papayya_core.fake_provider.faults import KINDS, Fault
from papayya_core.fake_provider.ledger import Ledger
from papayya_core.fake_provider.provider import Provider
from tests.unit.fake_provider.asking import (
    CHAT,
    CONVERSE,
    GOOGLE,
    INVOKE,
    MESSAGES,
    RESPONSES,
    ask,
    last,
    said,
)

BUDGET = {"type": "enabled", "budget_tokens": 20}
ADAPTIVE = {"thinking": {"type": "adaptive"}}


def config(**asked: Any) -> dict[str, Any]:
    """Make Google's configuration."""
    return {"generationConfig": {"thinkingConfig": asked}}


@pytest.fixture
def provider() -> Provider:
    """Make a stand-in with a ledger in memory."""
    return Provider(Ledger(None), seed=1)


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (CHAT, {"reasoning_effort": "low"}),
        (RESPONSES, {"reasoning": {"effort": "high"}}),
        (RESPONSES, {"reasoning": {"summary": "auto"}}),
        (MESSAGES, {"thinking": BUDGET}),
        (MESSAGES, {**ADAPTIVE, "output_config": {"effort": "max"}, "max_tokens": 4_000}),
        (GOOGLE, config(includeThoughts=True)),
        (GOOGLE, config(thinkingBudget=64)),
        (GOOGLE, config(thinkingLevel="HIGH")),
        (CONVERSE, {"additionalModelRequestFields": ADAPTIVE}),
        (INVOKE, {"thinking": BUDGET}),
    ],
)
def test_thoughts_are_output(provider: Provider, path: str, more: dict[str, Any]) -> None:
    """Who asks for thoughts gets some, beside an answer, and both are billed as output."""
    ask(provider, path, **more)
    entry = last(provider)
    assert 0 < entry.reasoning_tokens < entry.output_tokens
    ask(provider, path)
    assert last(provider).reasoning_tokens == 0


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (CHAT, {"reasoning_effort": "none"}),
        (RESPONSES, {"reasoning": {"effort": "none"}}),
        (MESSAGES, {"thinking": {"type": "disabled"}}),
        (GOOGLE, config(thinkingBudget=0)),
    ],
)
def test_thoughts_turned_off(provider: Provider, path: str, more: dict[str, Any]) -> None:
    """Who turns thinking off gets no thoughts."""
    ask(provider, path, **more)
    assert (last(provider).status, last(provider).reasoning_tokens) == (200, 0)


@pytest.mark.parametrize(
    ("path", "more", "says"),
    [
        (CHAT, {"reasoning_effort": "enormous"}, "there are none, minimal"),
        (MESSAGES, {"thinking": {"type": "loud"}}, "thinking.type"),
        (MESSAGES, {"thinking": {"type": "enabled"}}, "budget_tokens"),
        (MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": 500}}, "greater than"),
        (GOOGLE, config(thinkingLevel="loud"), "reasoning effort 'loud'"),
    ],
)
def test_bad_thinking(provider: Provider, path: str, more: dict[str, Any], says: str) -> None:
    """A request for thoughts that can't be read is a 400 that says why."""
    plan = ask(provider, path, **more)
    assert plan.status == 400
    assert says in said(plan)["error"]["message"]


def test_thoughts_keep_to_their_budget(provider: Provider) -> None:
    """A budget of tokens bounds the thoughts."""
    ask(provider, MESSAGES, thinking=BUDGET)
    assert last(provider).reasoning_tokens == 20


def test_cut_off_while_thinking(provider: Provider) -> None:
    """Where the limit is reached within the thoughts, all output is reasoning and nothing said."""
    made = said(ask(provider, CHAT, reasoning_effort="high", max_completion_tokens=9))
    details = made["usage"]["completion_tokens_details"]
    assert (made["usage"]["completion_tokens"], details["reasoning_tokens"]) == (9, 9)
    assert made["choices"][0]["message"]["content"] == ""
    assert made["choices"][0]["finish_reason"] == "length"
    made = said(ask(provider, RESPONSES, reasoning={"effort": "high"}, max_output_tokens=9))
    assert [item["type"] for item in made["output"]] == ["reasoning"]
    assert made["status"] == "incomplete"


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 60),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([None, *KINDS]),
)
def test_limit_holds(most: int, paragraphs: int, tool: bool, kind: str | None) -> None:
    """No answer has more tokens than the request allows, whatever it thinks, calls or lacks."""
    tools = (Tool("look_up_the_weather", "", {"type": "object"}),) if tool else ()
    asked = Ask(
        body={},
        model="m",
        messages=(Message("user", "An invoice of last week"),),
        tools=tools,
        max_tokens=most,
        thinking=Thinking(paragraphs),
    )
    fault = Fault(kind) if kind and (tool or kind != "null_tool_call") else None
    made = compose(asked, "id", Dice.of(most), fault, Keeping())
    assert 1 <= made.usage.output <= most
    assert made.reasoning <= made.usage.output
