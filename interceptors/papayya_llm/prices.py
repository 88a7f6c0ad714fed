"""List prices from the library genai-prices, in exact nano-dollars.

The library is imported at the first question, which takes 0.05 s, or half a second where no bytecode
is kept. It stays the judge of every price; what it says of a model is kept as so much per token,
because asking it takes longer than all else that is done for a call.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import localcontext
from fractions import Fraction
from functools import cache, lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

from papayya_core import redaction
from papayya_core.call import Priced, PriceQuestion, Tokens

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

logger = redaction.logger("papayya.llm.prices")

# OpenTelemetry's names, and ours, as the library has them; others are tried as they are.
PROVIDERS = {
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "x_ai": "x-ai",
}
_MILLION = 1_000_000
_NANO = 1_000_000_000
_GRAIN = 10**12  # a nano-dollar in the unit that rates are kept in
_MOST = 2**62
_DIGITS = 60  # for exact decimals, whatever the program's own context says
_REMEMBERED = 4096  # models


@dataclass(frozen=True, slots=True)
class _Rates:
    """What a call costs by itself, and each token of a class, in grains (1e-12 nano-dollars).

    ``reasoning`` is what a token of it costs beyond one of ``output``. ``output`` None: the model
    has no price for it.
    """

    call: int | Fraction
    input: int | Fraction
    cache_read: int | Fraction
    cache_write: int | Fraction
    cache_write_1h: int | Fraction
    output: int | Fraction | None
    reasoning: int | Fraction


def price(question: PriceQuestion) -> Priced | None:
    """Price tokens; None when the library does not know the model, or is not installed."""
    library = _library()
    if library is None:
        return None
    book = _book(library)
    model = book.find(question.provider, question.model)
    if model is None:
        return None
    nusd = book.cost(model, question.tokens, question.at)
    return None if nusd is None or nusd >= _MOST else Priced(nusd, book.source)


def max_output(provider: str, model: str) -> int | None:
    """Return a bound on the tokens of one output: the model's context window, if it is known."""
    library = _library()
    found = _book(library).find(provider, model) if library is not None else None
    return None if found is None else found.context_window


@cache
def _library() -> ModuleType | None:
    """Import the library; say once what to do when that fails."""
    try:
        import genai_prices.data_snapshot
    except ImportError as error:
        logger.warning(
            "calls stay unpriced (%s): pip install 'papayya-core[llm]', or name your prices with"
            " `papayya prices set`",
            error,
        )
        return None
    return genai_prices.data_snapshot


_last: _Book | None = None


def _book(library: ModuleType) -> _Book:
    """Return what is known of the library's present prices; its user may renew them."""
    global _last  # noqa: PLW0603 - one per process, and losing a race costs nothing
    snapshot: DataSnapshot = library.get_snapshot()
    book = _last
    if book is None or book.snapshot is not snapshot:
        book = _last = _Book(snapshot)
    return book


class _Book:
    """The prices of one snapshot of the library."""

    def __init__(self, snapshot: DataSnapshot) -> None:
        from genai_prices import __version__

        self.snapshot = snapshot
        self.source = f"genai-prices {__version__}"
        if snapshot.from_auto_update:
            self.source += f" as of {snapshot.timestamp:%Y-%m-%d %H:%M}"
        self.find = lru_cache(_REMEMBERED)(self._find)
        self._known = {one.id for one in snapshot.providers}
        self._cards: dict[int, _Card] = {}

    def _find(self, provider: str, model: str) -> ModelInfo | None:
        """Find a model at its provider; at one the library does not know, by its name alone."""
        name = PROVIDERS.get(provider, provider)
        where = name if name in self._known else None
        try:
            return self.snapshot.find_provider_model(model, None, where, None)[1]
        except LookupError:
            return None

    def cost(self, model: ModelInfo, tokens: Tokens, at: datetime) -> int | None:
        """Say what tokens cost in nano-dollars, rounded half up; None where a class has no price."""
        prices = model.get_prices(at)
        card = self._cards.get(id(prices))
        if card is None:  # it holds the prices, so that their id stays theirs
            card = self._cards[id(prices)] = _Card(prices)
        rates = card.rates(max(0, tokens.prompt))
        if rates is None or (rates.output is None and tokens.output > 0):
            return None
        grains = (
            rates.call
            + max(0, tokens.input) * rates.input
            + max(0, tokens.cache_read) * rates.cache_read
            + max(0, tokens.cache_write) * rates.cache_write
            + max(0, tokens.cache_write_1h) * rates.cache_write_1h
            + max(0, tokens.output) * (rates.output or 0)
            + max(0, min(tokens.reasoning, tokens.output)) * rates.reasoning
        )
        return int((grains + _GRAIN // 2) // _GRAIN)


class _Card:
    """One list of prices: its rates by the length of the prompt, longer ones may be dearer."""

    def __init__(self, prices: ModelPrice) -> None:
        self.prices = prices
        tiers = [tier for value in _tiered(prices).values() for tier in value.tiers]
        self._starts = sorted({tier.start for tier in tiers})
        self._rates: dict[int, _Rates | None] = {}

    def rates(self, prompt: int) -> _Rates | None:
        """Return the rates for a prompt of so many tokens; None: tokens are not what is paid."""
        tier = sum(prompt > start for start in self._starts)
        if tier not in self._rates:
            self._rates[tier] = _ask(_flat(self.prices, prompt))
        return self._rates[tier]


def _tiered(prices: ModelPrice) -> dict[str, TieredPrices]:
    from genai_prices.types import TieredPrices

    return {name: one for name, one in vars(prices).items() if isinstance(one, TieredPrices)}


def _flat(prices: ModelPrice, prompt: int) -> ModelPrice:
    """Replace tiers by what counts for a prompt of so many tokens: the last one that it passes."""
    from genai_prices.types import ModelPrice

    tiered = _tiered(prices)
    if not tiered:
        return prices
    passed = {
        name: [one.base, *(tier.price for tier in one.tiers if prompt > tier.start)][-1]
        for name, one in tiered.items()
    }
    return ModelPrice(**{**vars(prices), **passed})


def _ask(prices: ModelPrice) -> _Rates | None:
    """Ask the library what a million tokens of each class cost, and derive the rates."""
    from genai_prices import Usage

    n = _MILLION

    def total(**tokens: int) -> Fraction:
        return Fraction(prices.calc_price(Usage(**tokens))["total_price"])

    with localcontext(prec=_DIGITS):
        if prices.input_mtok is None:
            return None
        call = total()
        output = total(output_tokens=n) - call
        return _Rates(
            call=_grains(call * n),
            input=_grains(total(input_tokens=n) - call),
            cache_read=_grains(total(input_tokens=n, cache_read_tokens=n) - call),
            cache_write=_grains(total(input_tokens=n, cache_write_tokens=n) - call),
            cache_write_1h=_grains(
                total(input_tokens=n, cache_write_tokens=n, cache_write_1h_tokens=n) - call
            ),
            output=None if prices.output_mtok is None else _grains(output),
            reasoning=_grains(total(output_tokens=n, output_reasoning_tokens=n) - call - output),
        )


def _grains(usd_per_million: Fraction) -> int | Fraction:
    exact = usd_per_million * _NANO * _GRAIN / _MILLION
    return exact.numerator if exact.denominator == 1 else exact
