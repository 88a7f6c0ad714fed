"""Tokens are counted, cut and split by one rule; prices are exact integers."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from papayya_core.fake_provider import tokens
from papayya_core.fake_provider.prices import DEFAULT, TABLE, Price, Usage, listed, lookup, price


def test_count() -> None:
    """Words count by eights, punctuation marks one by one, spaces not at all."""
    assert tokens.count("Hello, extraordinary  world!") == 1 + 1 + 2 + 1 + 1


@settings(deadline=None, max_examples=60)
@given(st.text())
def test_count_is_bounded_by_bytes(text: str) -> None:
    """No text has more tokens than bytes, so a bound per byte holds."""
    assert tokens.count(text) <= len(text.encode("utf-8", "surrogatepass"))


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=400), st.integers(0, 30))
def test_cut(text: str, most: int) -> None:
    """A cut text is a beginning of it, with as many tokens as asked or all it has."""
    kept = tokens.cut(text, most)
    assert text.startswith(kept)
    assert tokens.count(kept) == min(most, tokens.count(text))


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=2_000), st.integers(1, 60))
def test_pieces(text: str, most: int) -> None:
    """Pieces join to the text, none is empty, and there are not too many."""
    parts = tokens.pieces(text, most)
    assert "".join(parts) == text
    assert all(parts)
    assert len(parts) <= most


def test_price() -> None:
    """Each class of tokens has its own price, and the sum is exact."""
    used = Usage(input=1, cached=1_000, written=1_000_000, output=1_000_000_000)
    per = TABLE["claude-sonnet-5"]
    assert price("claude-sonnet-5", used) == 2_000 + 200_000 + 2_500_000_000 + 10_000_000_000_000
    assert per.written * 1_000_000 == 2_500_000_000


def test_price_of_snapshots() -> None:
    """A dated name costs what its base name costs."""
    assert lookup("gpt-4.1-mini-2025-04-14") == TABLE["gpt-4.1-mini"]
    assert lookup("claude-haiku-4-5-20251001") == TABLE["claude-haiku-4-5"]


def test_price_of_unknown_model() -> None:
    """A model that is not in the table costs the default, and is not found."""
    assert lookup("gpt-4.1-mini-turbo") is None
    assert price("gpt-4.1-mini-turbo", Usage(input=1)) == DEFAULT.input


def test_cached_tokens_are_cheaper() -> None:
    """Reading from the cache costs less than plain input, for each model."""
    speaking = {name: per for name, per in TABLE.items() if "embedding" not in name}
    assert all(p.cached < p.input <= p.written < p.output for p in [*speaking.values(), DEFAULT])


def test_price_of_bedrock_names() -> None:
    """A model costs the same under any of Bedrock's names for it."""
    plain = "anthropic.claude-haiku-4-5-20251001-v1:0"
    profile = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.anthropic."
    for name in (plain, f"us.{plain}", f"{profile}claude-haiku-4-5-v1:0"):
        assert lookup(name) == TABLE["claude-haiku-4-5"]
    assert lookup("anthropic.claude-none-v1:0") is None
    assert lookup("amazon.nova-lite-v1:0") is None


def test_listed_prices() -> None:
    """The listed prices are the table's, as exact decimals in dollars per million tokens."""
    rows = {row.pop("model"): row for row in listed()}
    assert rows.keys() == TABLE.keys()
    assert rows["gpt-5.4-mini"] == {
        "input": "0.75",
        "cache_read": "0.075",
        "cache_write": "0.75",
        "output": "4.50",
    }
    for name, row in rows.items():
        parts = [Decimal(row[part]) for part in ("input", "cache_read", "cache_write", "output")]
        assert Price(*(int(1_000 * each) for each in parts)) == TABLE[name]
