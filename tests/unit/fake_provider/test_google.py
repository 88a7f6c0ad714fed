"""Google's dialect: what is read, and how answers are written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from papayya_core.fake_provider.call import Call
from papayya_core.fake_provider.ledger import Ledger
from papayya_core.fake_provider.provider import Provider
from tests.unit.fake_provider.asking import GOOGLE, GOOGLE_STREAM, ask, last, said, sse

SCHEMA = {
    "type": "OBJECT",
    "properties": {"type": {"type": "STRING", "enum": ["billing", "technical"]}},
    "required": ["type"],
    "propertyOrdering": ["type"],
}
LOOK = {"name": "look", "description": "Look it up", "parameters": SCHEMA}
FIND = {"name": "find_invoice", "parametersJsonSchema": {"type": "object"}}
TOOLS = [{"functionDeclarations": [LOOK, FIND]}]


@pytest.fixture
def provider() -> Provider:
    """Make a stand-in with a ledger in memory."""
    return Provider(Ledger(None), seed=1)


def parts(answer: Any) -> list[Any]:
    """Give the parts of the first candidate."""
    found: list[Any] = answer["candidates"][0]["content"].get("parts", [])
    return found


def only(*names: str, mode: str = "ANY") -> dict[str, Any]:
    """Allow some functions only."""
    return {"functionCallingConfig": {"mode": mode, "allowedFunctionNames": list(names)}}


@pytest.mark.parametrize("name", ["responseSchema", "response_schema"])
def test_json(provider: Provider, name: str) -> None:
    """An answer fits the schema, whose types are in capitals, in either case of the fields."""
    config = {"responseMimeType": "application/json", name: SCHEMA}
    made = parts(said(ask(provider, GOOGLE, generationConfig=config)))
    assert json.loads(made[0]["text"]) == {"type": "billing"}


def test_json_schema(provider: Provider) -> None:
    """A schema may be JSON schema too."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    config = {"responseMimeType": "application/json", "responseJsonSchema": schema}
    made = parts(said(ask(provider, GOOGLE, generationConfig=config)))
    assert isinstance(json.loads(made[0]["text"])["n"], int)


def test_functions(provider: Provider) -> None:
    """A function is called as the modes want it, and not again after its result."""
    assert parts(said(ask(provider, GOOGLE, tools=TOOLS)))[0]["functionCall"]
    made = parts(said(ask(provider, GOOGLE, tools=TOOLS, toolConfig=only("look"))))
    assert made[0]["functionCall"] == {"name": "look", "args": {"type": "billing"}}
    silent = {"functionCallingConfig": {"mode": "NONE"}}
    assert "text" in parts(said(ask(provider, GOOGLE, tools=TOOLS, toolConfig=silent)))[0]
    result = {"functionResponse": {"name": "look", "response": {"found": True}}}
    talk = [
        {"role": "user", "parts": [{"text": "Look."}]},
        {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {}}}]},
        {"role": "user", "parts": [result]},
    ]
    assert "text" in parts(said(ask(provider, GOOGLE, tools=TOOLS, contents=talk)))[0]


def test_cache_is_read_only(provider: Provider) -> None:
    """A long prompt's repetition is read from the cache; writing it was plain input."""
    talk = [{"parts": [{"text": "word " * 2_000}]}]
    first = said(ask(provider, GOOGLE, contents=talk))["usageMetadata"]
    assert "cachedContentTokenCount" not in first
    assert last(provider).cache_write_tokens == 0
    second = said(ask(provider, GOOGLE, contents=talk))["usageMetadata"]
    assert second["promptTokenCount"] == first["promptTokenCount"]
    assert second["cachedContentTokenCount"] == last(provider).cached_tokens > 1_000


def test_usage_of_chunks(provider: Provider) -> None:
    """Each chunk has the usage so far, and the last one that of the ledger."""
    config = {"thinkingConfig": {"includeThoughts": True}, "candidateCount": 2}
    chunks = sse(ask(provider, GOOGLE_STREAM, generationConfig=config))
    counts = [chunk["usageMetadata"]["totalTokenCount"] for chunk in chunks]
    assert counts == sorted(counts)
    usage, entry = chunks[-1]["usageMetadata"], last(provider)
    assert usage["thoughtsTokenCount"] == entry.reasoning_tokens > 0
    assert usage["candidatesTokenCount"] == entry.output_tokens - entry.reasoning_tokens
    assert {chunk["candidates"][0]["index"] for chunk in chunks} == {0, 1}


def test_array(provider: Provider) -> None:
    """Without alt=sse the chunks come as one JSON array."""
    body = json.dumps({"contents": [{"parts": [{"text": "An invoice"}]}]}).encode()
    plan = provider.answer(Call(GOOGLE_STREAM.partition("?")[0], {}, body))
    chunks = said(plan)
    assert plan.headers["content-type"].startswith("application/json")
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.parametrize(
    ("fault", "reason"), [("refusal", "SAFETY"), ("truncation", "MAX_TOKENS"), ("empty", "STOP")]
)
@pytest.mark.parametrize("path", [GOOGLE, GOOGLE_STREAM])
def test_faults(provider: Provider, path: str, fault: str, reason: str) -> None:
    """Refusals, cuts and empty answers have Google's finish reasons."""
    plan = ask(provider, path, {"x-fake-fault": fault})
    made = sse(plan)[-1] if path == GOOGLE_STREAM else said(plan)
    assert made["candidates"][0]["finishReason"] == reason


def test_errors(provider: Provider) -> None:
    """An error has Google's status, and says when to come back."""
    plan = ask(provider, GOOGLE, {"x-fake-fault": "rate_limit;retry_after=2.5"})
    error = said(plan)["error"]
    assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert error["details"][0]["retryDelay"] == "2.5s"
    assert plan.headers["retry-after"] == "2.5"
    assert last(provider).model == "gemini-2.5-flash"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"contents": None}, "contents"),
        ({"contents": []}, "contents"),
        ({"contents": ["x"]}, "contents"),
        ({"contents": [{"parts": ["x"]}]}, "parts"),
        ({"tools": [{"functionDeclarations": [{}]}]}, "name"),
        ({"tools": TOOLS, "toolConfig": only("none")}, "none"),
        ({"generationConfig": {"candidateCount": 9}}, "candidateCount"),
        ({"generationConfig": {"maxOutputTokens": 0}}, "maxOutputTokens"),
        ({"generationConfig": {"responseMimeType": "text/x.enum"}}, "responseMimeType"),
    ],
)
def test_bad_requests(provider: Provider, more: dict[str, Any], says: str) -> None:
    """What can't be read is a 400 that names the field, and is free."""
    plan = ask(provider, GOOGLE, **more)
    assert plan.status == 400
    assert says in said(plan)["error"]["message"]
    assert (last(provider).status, last(provider).cost_nusd) == (400, 0)
