"""Requests whose limit of output is lowered to what a budget leaves."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from papayya_core.call import Answered, Asked, CallFacts
from papayya_llm import schemas
from papayya_llm.foreign import Foreign
from papayya_llm.schemas import by_name

MODEL_PATH = "/model/amazon.nova-lite-v1:0/invoke"


def invoke(**body: Any) -> tuple[str, dict[str, Any]]:
    """Name a request to a model of Bedrock's."""
    return "bedrock.invoke", body


LIMITED = [
    ("openai.chat", {"max_completion_tokens": 500}),
    ("openai.chat", {"max_tokens": 500}),
    ("openai.chat", {"max_tokens": 500, "max_completion_tokens": 500}),
    ("openai.completions", {"prompt": "x", "max_tokens": 500}),
    ("openai.responses", {"max_output_tokens": 500}),
    ("anthropic.messages", {"max_tokens": 500, "thinking": {"type": "adaptive"}}),
    ("google.generate", {"generationConfig": {"maxOutputTokens": 500, "temperature": 1}}),
    ("google.generate", {"generation_config": {"max_output_tokens": 500}}),
    ("google.generate", {"generationConfig": {"max_output_tokens": 500}, "generation_config": {}}),
    ("bedrock.converse", {"inferenceConfig": {"maxTokens": 500, "topP": 1}}),
    ("cohere.chat", {"max_tokens": 500}),
    invoke(anthropic_version="bedrock-2023-05-31", max_tokens=500),
    invoke(messages=[], max_completion_tokens=500),
    invoke(inferenceConfig={"maxTokens": 500}),
    invoke(inferenceConfig={"max_new_tokens": 500}),
    invoke(inputText="x", textGenerationConfig={"maxTokenCount": 500}),
    invoke(prompt="x", max_gen_len=500),
]
UNLIMITED = [
    ("openai.chat", {}, {"max_completion_tokens": 70}),
    ("openai.chat", {"max_tokens": None}, {"max_tokens": None, "max_completion_tokens": 70}),
    ("openai.completions", {}, {"max_tokens": 70}),
    ("openai.responses", {}, {"max_output_tokens": 70}),
    ("anthropic.messages", {}, {"max_tokens": 70}),
    ("google.generate", {}, {"generationConfig": {"maxOutputTokens": 70}}),
    ("bedrock.converse", {}, {"inferenceConfig": {"maxTokens": 70}}),
    ("cohere.chat", {}, {"max_tokens": 70}),
]


def most(name: str, body: Any) -> int | None:
    """Read the limit of a request."""
    return by_name(name).ask(MODEL_PATH, body, 0, "openai").max_tokens


@pytest.mark.parametrize(("name", "body"), LIMITED)
def test_lowered(name: str, body: dict[str, Any]) -> None:
    """A limit is lowered in the field that has it; nothing else changes, and the original not."""
    before = copy.deepcopy(body)
    assert by_name(name).can_clamp(body)
    found = by_name(name).clamped(body, 70)
    assert (most(name, body), most(name, found)) == (500, 70)
    assert body == before
    assert repr(found) == repr(before).replace("500", "70")


@pytest.mark.parametrize(("name", "body"), LIMITED)
def test_never_raised(name: str, body: dict[str, Any]) -> None:
    """A limit that is lower already stays."""
    assert by_name(name).clamped(body, 501) == body


@pytest.mark.parametrize(("name", "body", "expected"), UNLIMITED)
def test_put_in(name: str, body: dict[str, Any], expected: dict[str, Any]) -> None:
    """A request without a limit gets one, in the field that the API takes."""
    assert by_name(name).can_clamp(body)
    assert by_name(name).clamped(body, 70) == expected


@pytest.mark.parametrize("provider", ["groq", "mistral_ai", "together", "deepseek"])
def test_older_field(provider: str) -> None:
    """Servers that only speak OpenAI's format are given the field that all of them know."""
    assert by_name("openai.chat").clamped({}, 70, provider) == {"max_tokens": 70}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("openai.chat", {"reasoning": {"max_tokens": 2000}}),
        ("openai.chat", {"thinking": {"budget_tokens": 2000}}),
        ("openai.embeddings", {"input": "x"}),
        ("anthropic.messages", {"max_tokens": 9, "thinking": {"budget_tokens": 2000}}),
        ("bedrock.converse", {"additionalModelRequestFields": {"thinking": {"budget_tokens": 1}}}),
        ("cohere.chat", {"thinking": {"type": "enabled", "token_budget": 100}}),
        invoke(anthropic_version="x", max_tokens=9, thinking={"budget_tokens": 2000}),
        invoke(anthropic_version="x"),
        invoke(inputText="x"),
    ],
)
def test_not_to_be_clamped(name: str, body: dict[str, Any]) -> None:
    """A budget for thoughts must fit below the limit, and an unknown field cannot be set."""
    assert not by_name(name).can_clamp(body)


@pytest.mark.parametrize("name", sorted(schemas._NAMES))
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"max_tokens": "many", "thinking": "yes", "reasoning": 7},
        {"max_output_tokens": -1, "generationConfig": [1], "inferenceConfig": "x"},
        {"inferenceConfig": {"maxTokens": True}, "textGenerationConfig": 3},
    ],
)
def test_hostile(name: str, body: dict[str, Any]) -> None:
    """What is no number is left to the provider to refuse; nothing raises."""
    schema = by_name(name)
    for given in (body, None, [1], "text"):
        schema.can_clamp(given)
    assert isinstance(schema.clamped(body, 70), dict)


def test_foreign() -> None:
    """A format that only a plugin reads is left alone."""
    facts = CallFacts(Asked("own", "own.chat", "m"), Answered())
    foreign = Foreign("own.example/chat", {}, facts)
    assert not foreign.can_clamp({"max_tokens": 500})
    assert foreign.clamped({"max_tokens": 500}, 70) == {"max_tokens": 500}
