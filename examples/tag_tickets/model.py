"""One model: how to ask it for JSON through its provider's own client, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote

MOST_TOKENS = 2_000  # of one answer
PATIENCE_S = 60.0
_MILLION = 1_000_000


class UnknownPrice(Exception):
    """Nobody knows what this model costs; the message says where to write it down."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens of each class."""

    input: Decimal
    cached: Decimal
    written: Decimal
    output: Decimal


def _price(*dollars: str) -> Price:
    return Price(*map(Decimal, dollars))


PRICES = {
    "gpt-5.4-mini": _price("0.75", "0.075", "0.75", "4.50"),
    "gpt-5-mini": _price("0.25", "0.025", "0.25", "2.00"),
    "gpt-4.1-mini": _price("0.40", "0.10", "0.40", "1.60"),
    "claude-haiku-4-5": _price("1.00", "0.10", "1.25", "5.00"),
    "claude-sonnet-4-6": _price("3.00", "0.30", "3.75", "15.00"),
}


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one exchange in disjoint classes."""

    input: int
    cached: int
    written: int
    output: int

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.input + self.cached + self.written + self.output

    def cost(self, price: Price) -> Decimal:
        """US dollars, exactly."""
        dollars = (
            self.input * price.input
            + self.cached * price.cached
            + self.written * price.written
            + self.output * price.output
        )
        return dollars / _MILLION


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said. ``refusal``: its words, if it would not; ``cut``: it had to stop."""

    text: str
    refusal: str | None
    cut: bool
    usage: Usage
    cost: Decimal


class Model:
    """A model by name; ``url`` None is the provider's own address.

    Its client never tries again by itself: that is left to Papayya, which writes it down.
    Raises UnknownPrice.
    """

    def __init__(self, name: str, key: str, url: str | None = None) -> None:
        if name not in PRICES:
            raise UnknownPrice(
                f"the price of {name} is not known; write it into PRICES of {__file__}, or use"
                f" one of {', '.join(PRICES)}"
            )
        self.name = name
        self._client = _client(name, key, url)

    def ask(self, instructions: str, text: str, schema: dict[str, Any], item: str) -> Reply:
        """Ask for a JSON answer. Raises the client's own errors."""
        asked = _ask_claude if is_claude(self.name) else _ask_gpt
        headers = {"x-item-key": header(item)}
        text, refusal, cut, usage = asked(
            self._client, self.name, instructions, text, schema, headers
        )
        return Reply(text, refusal, cut, usage, usage.cost(PRICES[self.name]))


def is_claude(name: str) -> bool:
    """Tell whose model it is."""
    return name.startswith("claude")


def header(item: str) -> str:
    """Write an item's key so that an HTTP header can carry it."""
    return item if item.isascii() and item.isprintable() else quote(item)


def _client(name: str, key: str, url: str | None) -> Any:
    options: dict[str, Any] = {"api_key": key, "max_retries": 0, "timeout": PATIENCE_S}
    if is_claude(name):
        from anthropic import Anthropic

        return Anthropic(base_url=url.removesuffix("/v1") if url else None, **options)
    from openai import OpenAI

    return OpenAI(base_url=url, **options)


_Asked = tuple[str, str | None, bool, Usage]


def _ask_gpt(
    client: Any, model: str, instructions: str, text: str, schema: dict[str, Any], headers: Any
) -> _Asked:
    form = {"name": "tag", "strict": True, "schema": schema}
    answer = client.chat.completions.create(
        model=model,
        messages=[
            {"role": "system", "content": instructions},
            {"role": "user", "content": text},
        ],
        response_format={"type": "json_schema", "json_schema": form},
        max_completion_tokens=MOST_TOKENS,
        extra_headers=headers,
    )
    said, used = answer.choices[0], answer.usage
    details = used.prompt_tokens_details
    cached = getattr(details, "cached_tokens", None) or 0
    written = getattr(details, "cache_write_tokens", None) or 0
    plain = used.prompt_tokens - cached - written
    usage = Usage(plain, cached, written, used.completion_tokens)
    cut = said.finish_reason == "length"
    return said.message.content or "", said.message.refusal, cut, usage


def _ask_claude(
    client: Any, model: str, instructions: str, text: str, schema: dict[str, Any], headers: Any
) -> _Asked:
    answer = client.messages.create(
        model=model,
        system=instructions,
        messages=[{"role": "user", "content": text}],
        output_config={"format": {"type": "json_schema", "schema": schema}},
        max_tokens=MOST_TOKENS,
        extra_headers=headers,
    )
    used = answer.usage
    usage = Usage(
        used.input_tokens,
        used.cache_read_input_tokens or 0,
        used.cache_creation_input_tokens or 0,
        used.output_tokens,
    )
    said = "".join(block.text for block in answer.content if block.type == "text")
    refusal = "the model refused" if answer.stop_reason == "refusal" else None
    return said, refusal, answer.stop_reason == "max_tokens", usage
