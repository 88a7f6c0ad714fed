"""OpenAI's embeddings."""

from __future__ import annotations

from papayya_core.call import Message, Tokens
from papayya_llm import schemas

SCHEMA = schemas.by_name("openai.embeddings")


def test_a_request() -> None:
    """An embedding has no output, and its body bounds its input."""
    asked = SCHEMA.ask("/v1/embeddings", {"model": "te-3", "input": ["a", "b"]}, 40, "openai")
    assert (asked.kind, asked.model, asked.samples) == ("embedding", "te-3", 1)
    assert (asked.max_tokens, asked.body_bytes, asked.unbounded) == (0, 40, None)


def test_an_answer() -> None:
    """Only the input is counted."""
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    body = {"object": "list", "model": "te-3", "data": [{"embedding": [0.1]}], "usage": usage}
    got = SCHEMA.answer(body)
    assert (got.model, got.tokens, got.text, got.whole) == ("te-3", Tokens(8), "", True)


def test_only_the_total() -> None:
    """A server that tells the total alone is counted by it."""
    assert SCHEMA.answer({"usage": {"total_tokens": 5}}).tokens == Tokens(5)


def test_no_usage() -> None:
    """A server that counts nothing tells nothing."""
    assert SCHEMA.answer({"data": []}).tokens is None


def test_for_people() -> None:
    """Texts are shown; token lists by their length."""
    user = [Message("user", text) for text in ("a", "b", "[3 tokens]")]
    assert SCHEMA.messages({"input": "a"}) == (user[0],)
    assert SCHEMA.messages({"input": ["a", "b"]}) == (user[0], user[1])
    assert SCHEMA.messages({"input": [1, 2, 3]}) == (user[2],)
    assert SCHEMA.messages({"input": [[1, 2, 3], "a"]}) == (user[2], user[0])
