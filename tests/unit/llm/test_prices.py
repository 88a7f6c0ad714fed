"""List prices: what genai-prices says, in exact nano-dollars, and quickly."""

from __future__ import annotations

import builtins
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Any

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import DataSnapshot, get_snapshot, set_custom_snapshot
from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice, Provider
from hypothesis import given, settings
from hypothesis import strategies as st

from papayya_core.call import Priced, PriceQuestion, Tokens
from papayya_core.plugins import Plugins
from papayya_llm import prices

AT = datetime(2026, 11, 1, tzinfo=UTC)
MODELS = [
    ("openai", "gpt-5", "openai"),
    ("openai", "gpt-6-luna", "openai"),
    ("azure.ai.openai", "gpt-5", "azure"),
    ("anthropic", "claude-sonnet-4-5", "anthropic"),
    ("anthropic", "claude-haiku-5-5", "anthropic"),
    ("gcp.gemini", "gemini-2.5-pro", "google"),
    ("gcp.vertex_ai", "gemini-2.5-flash", "google"),
    ("aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws"),
    ("mistral_ai", "mistral-large-latest", "mistral"),
    ("x_ai", "grok-4", "x-ai"),
    ("deepseek", "deepseek-chat", "deepseek"),
    ("perplexity", "sonar-deep-research", "perplexity"),
    ("perplexity", "sonar", "perplexity"),
]


def ask(provider: str, model: str, at: datetime = AT, **tokens: int) -> Priced | None:
    return prices.price(PriceQuestion(provider, model, Tokens(**tokens), at))


def nusd(usd: str) -> int:
    return int((Decimal(usd) * 10**9).to_integral_value(ROUND_HALF_UP))


@settings(deadline=None, max_examples=200)
@given(
    which=st.sampled_from(MODELS),
    counts=st.tuples(*[st.integers(0, 400_000)] * 5),
    part=st.integers(0, 400_000),
    days=st.integers(0, 900),
)
def test_as_the_library_says(
    which: tuple[str, str, str], counts: tuple[int, ...], part: int, days: int
) -> None:
    """Any tokens of any class, in long prompts too, cost what the library computes."""
    provider, model, theirs = which
    plain, read, write, hour, output = counts
    at = AT - timedelta(days=days, hours=days % 24)
    tokens = Tokens(plain, read, write, hour, output, min(part, output))
    with localcontext(prec=60):
        usage = Usage(
            input_tokens=tokens.prompt,
            cache_read_tokens=read,
            cache_write_tokens=write + hour,
            cache_write_1h_tokens=hour,
            output_tokens=output,
            output_reasoning_tokens=tokens.reasoning,
        )
        want = calc_price(usage, model, provider_id=theirs, genai_request_timestamp=at)
        exact = int((want.total_price * 10**9).to_integral_value(ROUND_HALF_UP))
    priced = prices.price(PriceQuestion(provider, model, tokens, at))
    assert priced is not None
    assert priced.nusd == exact


def test_known_prices() -> None:
    """The arithmetic of a cached prompt: each class at its own price."""
    priced = ask(
        "anthropic", "claude-sonnet-4-5", input=500, cache_read=400, cache_write=100, output=50
    )
    assert priced is not None
    assert priced.nusd == nusd("0.002745")
    assert priced.source.startswith("genai-prices ")


def test_hour_long_cache_writes() -> None:
    """What is written for an hour costs more than other writes, which cost more than input."""
    kinds = (Tokens(100_000), Tokens(cache_write=100_000), Tokens(cache_write_1h=100_000))
    asked = [
        prices.price(PriceQuestion("anthropic", "claude-sonnet-4-5", tokens, AT))
        for tokens in kinds
    ]
    assert [one and one.nusd for one in asked] == [nusd("0.3"), nusd("0.375"), nusd("0.6")]


def test_history() -> None:
    """A price is that of the moment, not of today."""
    before, after = (
        ask("openai", "o3", at, output=1000) for at in (datetime(2025, 6, 1, tzinfo=UTC), AT)
    )
    assert (before and before.nusd, after and after.nusd) == (nusd("0.04"), nusd("0.008"))


def test_embeddings() -> None:
    """A model without a price for output has none once there is output."""
    one = ask("openai", "text-embedding-3-small", input=1000)
    assert one is not None
    assert one.nusd == nusd("0.00002")
    assert ask("openai", "text-embedding-3-small", input=1000, output=1) is None


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-99"),
        ("openai", "whisper-1"),
        ("mistral_ai", "mistral-ocr-latest"),
        ("anthropic", "gpt-5"),
        ("nobody", "nothing"),
        ("", ""),
    ],
)
def test_unknown(provider: str, model: str) -> None:
    """A model that is not known, or not paid by the token, has no price; it is never 0."""
    assert ask(provider, model, input=1000) is None


def test_unknown_provider() -> None:
    """At a provider that the library does not know, the name of the model decides."""
    assert ask("gateway.example", "gpt-5", input=1000) == ask("openai", "gpt-5", input=1000)


def test_absurd_tokens() -> None:
    """Negative tokens are none, and what no amount can hold is unknown."""
    one = ask("openai", "gpt-5", input=-5, output=100, reasoning=700)
    assert one == ask("openai", "gpt-5", output=100)
    assert ask("openai", "gpt-5", input=2**62) is None


def test_decimal_context() -> None:
    """The program's own decimal context changes no price."""
    want = ask("openai", "gpt-5-nano", input=1_234_567)
    prices._last = None
    with localcontext(Context(prec=3)):
        assert ask("openai", "gpt-5-nano", input=1_234_567) == want


def test_max_output() -> None:
    """The context window bounds an output; None where it is not known."""
    assert prices.max_output("openai", "gpt-5") == 400_000
    assert prices.max_output("openai", "gpt-99") is None


@pytest.fixture
def renewed() -> Iterator[DataSnapshot]:
    """Prices that the program has renewed: one model of one provider."""
    price = ModelPrice(
        input_mtok=Decimal(1) / 1024, output_mtok=Decimal(2), requests_kcount=Decimal(5)
    )
    model = ModelInfo("own", ClauseEquals("own"), prices=price)
    snapshot = DataSnapshot([Provider("openai", "O", "x", models=[model])], from_auto_update=True)
    set_custom_snapshot(snapshot)
    try:
        yield snapshot
    finally:
        set_custom_snapshot(None)


def test_renewed_prices(renewed: DataSnapshot) -> None:
    """Prices that the program renewed count at once, and the source says of when they are."""
    priced = ask("openai", "own", output=1)
    assert priced is not None
    assert priced.nusd == 5_000_000 + 2_000
    assert priced.source.endswith(f" as of {renewed.timestamp:%Y-%m-%d %H:%M}")
    assert ask("openai", "gpt-5", output=1) is None
    set_custom_snapshot(None)
    assert ask("openai", "gpt-5", output=1) is not None


def test_any_fraction(renewed: DataSnapshot) -> None:
    """A price with many digits is exact, too: rounded once, at the end."""
    one, many = ask("openai", "own", input=1), ask("openai", "own", input=1024 * 10**6)
    assert (one and one.nusd, many and many.nusd) == (5_000_001, 1_005_000_000)


def test_not_installed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Without the library there are no prices, and one warning says how to get them."""
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("genai_prices"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *args, **kwargs)

    prices._library.cache_clear()
    try:
        with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
            patch.setattr(builtins, "__import__", missing)
            assert [ask("openai", "gpt-5", input=1) for _ in range(3)] == [None] * 3
            assert prices.max_output("openai", "gpt-5") is None
    finally:
        prices._library.cache_clear()
    [record] = caplog.records
    assert "pip install 'papayya-core[llm]'" in record.getMessage()


def test_plugin() -> None:
    """The hook answers through the plugin, after everybody else's."""
    question = PriceQuestion("openai", "gpt-5", Tokens(input=1000), AT)
    assert Plugins(["llm"]).price(question) == prices.price(question) is not None


def test_models_are_found() -> None:
    """The names of providers here are ones that the library has."""
    known = {one.id for one in get_snapshot().providers}
    assert {theirs for _, _, theirs in MODELS} <= known
    assert set(prices.PROVIDERS.values()) <= known
