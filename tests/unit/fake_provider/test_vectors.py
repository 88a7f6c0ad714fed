"""Embeddings: alike texts have alike vectors, in either format, at the price of their tokens."""

from __future__ import annotations

from base64 import b64decode
from math import isclose
from struct import unpack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papayya_core.fake_provider.ledger import Ledger
from papayya_core.fake_provider.provider import Provider
from papayya_core.fake_provider.vectors import vector
from tests.unit.fake_provider.asking import EMBEDDINGS, ask, last, said


@pytest.fixture
def provider() -> Provider:
    """Make a stand-in with a ledger in memory."""
    return Provider(Ledger(None), seed=1)


def likeness(one: list[float], two: list[float]) -> float:
    """Multiply two vectors."""
    return sum(a * b for a, b in zip(one, two, strict=True))


@settings(deadline=None, max_examples=60)
@given(st.text(min_size=1, max_size=200), st.integers(1, 64))
def test_length_is_one(text: str, size: int) -> None:
    """Any text's vector has the asked size and the length 1; no text's is all zeros."""
    made = vector(text, size)
    assert len(made) == size
    assert isclose(likeness(made, made), 1)
    assert vector("", size) == [0.0] * size


def test_alike_texts() -> None:
    """Texts with words in common are closer to each other than to other texts."""
    one = vector("refund for my invoice", 256)
    two = vector("please refund these invoices", 256)
    three = vector("the parcel never arrived", 256)
    assert likeness(one, two) > 0.5
    assert likeness(one, three) < 0.2
    assert vector("Refund!", 256) != vector("refund", 256)


def test_formats(provider: Provider) -> None:
    """Both formats hold the same numbers."""
    asked: dict[str, Any] = {"input": ["one", "two"], "dimensions": 16}
    floats = said(ask(provider, EMBEDDINGS, **asked))["data"]
    packed = said(ask(provider, EMBEDDINGS, **asked, encoding_format="base64"))["data"]
    assert [each["index"] for each in floats] == [0, 1]
    for one, two in zip(floats, packed, strict=True):
        assert list(unpack("<16f", b64decode(two["embedding"]))) == one["embedding"]


@pytest.mark.parametrize(
    ("given", "tokens", "vectors"),
    [
        ("An invoice", 2, 1),
        (["An invoice", "?"], 3, 2),
        ([11, 12, 13], 3, 1),
        ([[11, 12], [13]], 3, 2),
        ("   ", 1, 1),
    ],
)
def test_inputs(provider: Provider, given: object, tokens: int, vectors: int) -> None:
    """Texts and tokens are counted as they are, and no output is billed."""
    made = said(ask(provider, EMBEDDINGS, input=given))
    assert len(made["data"]) == vectors
    assert made["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    entry = last(provider)
    assert (entry.prompt_tokens, entry.output_tokens, entry.response_id) == (tokens, 0, None)
    assert entry.cost_nusd == 20 * tokens


@pytest.mark.parametrize(
    "more",
    [
        {"input": None},
        {"input": ""},
        {"input": []},
        {"input": ["a", ""]},
        {"input": ["a", 1]},
        {"input": [True]},
        {"input": ["a"] * 2_049},
        {"dimensions": 0},
        {"dimensions": 9_999},
        {"encoding_format": "hex"},
    ],
)
def test_bad_inputs(provider: Provider, more: dict[str, Any]) -> None:
    """What can't be embedded is a 400, and free."""
    assert ask(provider, EMBEDDINGS, **more).status == 400
    assert last(provider).cost_nusd == 0


def test_size_of_models(provider: Provider) -> None:
    """Without a wish, vectors have the model's size."""
    for model, size in (("text-embedding-3-small", 1_536), ("text-embedding-3-large", 3_072)):
        (made,) = said(ask(provider, EMBEDDINGS, model=model, dimensions=None))["data"]
        assert len(made["embedding"]) == size


def test_empty(provider: Provider) -> None:
    """The fault `empty` gives vectors of zeros."""
    (made,) = said(ask(provider, EMBEDDINGS, {"x-fake-fault": "empty"}))["data"]
    assert made["embedding"] == [0.0] * 8


def test_faults_of_words(provider: Provider) -> None:
    """A fault that needs words can't be asked for."""
    plan = ask(provider, EMBEDDINGS, {"x-fake-fault": "refusal"})
    assert plan.status == 400
    assert "needs a request for words" in said(plan)["error"]["message"]
