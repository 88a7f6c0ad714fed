"""Which dialect a URL is for."""

from __future__ import annotations

import pytest

from papayya_core.fake_provider.call import Call
from papayya_core.fake_provider.ledger import Ledger
from papayya_core.fake_provider.provider import Provider
from papayya_core.fake_provider.routes import find
from tests.unit.fake_provider.asking import CONVERSE, GOOGLE, GOOGLE_STREAM, ask, last, said, sse

VERTEX = "/v1beta1/projects/p/locations/eu/publishers/google/models/gemini-2.5-pro"


@pytest.mark.parametrize(
    ("target", "path", "model", "stream"),
    [
        ("/v1/chat/completions", "/v1/chat/completions", None, None),
        ("/chat/completions/", "/v1/chat/completions", None, None),
        ("/openai/v1/embeddings?api-version=1", "/v1/embeddings", None, None),
        ("/openai/deployments/gpt-5/chat/completions?api-version=1", None, "gpt-5", None),
        ("/v1/models/gemini-2.5-pro:generateContent", None, "gemini-2.5-pro", False),
        (f"{VERTEX}:generateContent?key=k", None, "gemini-2.5-pro", False),
        (f"{VERTEX}:streamGenerateContent?alt=sse", None, "gemini-2.5-pro", True),
        ("/model/anthropic.claude-v1%3A0/converse", None, "anthropic.claude-v1:0", False),
        ("/model/anthropic.claude-v1:0/converse-stream", None, "anthropic.claude-v1:0", True),
        ("/model/arn%3Aaws%3Ax%2Fy/invoke", None, "arn:aws:x/y", False),
        ("/model/m/invoke-with-response-stream", None, "m", True),
    ],
)
def test_routes(target: str, path: str | None, model: str | None, stream: bool | None) -> None:
    """A URL names the dialect, and often the model and whether to stream."""
    route = find(target)
    assert route is not None
    assert path in (None, route.path)
    assert "?" not in route.path
    assert route.given.get("model") == model
    assert route.given.get("stream") == stream


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/v1/completions",
        "/v1/v1/chat/completions",
        "/v1/models/gemini-2.5-pro",
        "/v1/models/gemini-2.5-pro:embedContent",
        "/model//converse",
        "/model/m/stop",
        "/_control/faults",
    ],
)
def test_no_route(target: str) -> None:
    """Anything else has no model behind it."""
    assert find(target) is None


def test_same_body_for_another_model() -> None:
    """Where the path names the model, the same body for another one is another request."""
    provider = Provider(Ledger(None), seed=1)
    body = b'{"contents":[{"parts":[{"text":"An invoice"}]}]}'
    for model in ("gemini-2.5-pro", "gemini-2.5-flash"):
        provider.answer(Call(f"/v1/models/{model}:generateContent", {}, body))
        assert (last(provider).model, last(provider).ordinal) == (model, 1)


def test_stream_says_the_same() -> None:
    """Whether it is streamed or not, the same is said, under another id."""
    provider = Provider(Ledger(None), seed=1)
    whole = said(ask(provider, GOOGLE))
    chunks = sse(ask(provider, GOOGLE_STREAM))
    parts = [chunk["candidates"][0].get("content", {}).get("parts", []) for chunk in chunks]
    text = "".join(part["text"] for each in parts for part in each)
    assert text == whole["candidates"][0]["content"]["parts"][0]["text"]
    assert chunks[-1]["usageMetadata"] == whole["usageMetadata"]
    assert chunks[0]["responseId"] != whole["responseId"]


@pytest.mark.parametrize(
    ("target", "headers", "key"),
    [
        (GOOGLE, {"x-goog-api-key": "AIza"}, "AIza"),
        (f"{GOOGLE}?key=AIzb", {}, "AIzb"),
        (GOOGLE, {"authorization": "Bearer ya29"}, "ya29"),
        (CONVERSE, {"authorization": "AWS4-HMAC-SHA256 Credential=AKIA1/2026/x, S=y"}, "AKIA1"),
        ("/v1/responses", {"api-key": "azure"}, "azure"),
        ("/v1/messages", {"x-api-key": "sk-ant"}, "sk-ant"),
        ("/v1/responses", {}, ""),
    ],
)
def test_api_keys(target: str, headers: dict[str, str], key: str) -> None:
    """The key is found where each provider's clients put it; of a signature, its id."""
    assert Call(target, headers, b"").api_key == key
