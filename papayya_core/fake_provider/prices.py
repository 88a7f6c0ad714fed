"""
The stand-in's own prices, in nano-dollars per token.

$1 per million tokens is exactly 1,000 nano-dollars per token, and every price here is a whole
number of them. The cost of a request is therefore an exact integer and nothing is ever rounded:

    input x input price + cached x cached price + written x written price + output x output price

where the four token classes are disjoint, as `Usage` has them: what was read from the provider's
prompt cache, what was written to it, and the rest of the prompt. OpenAI's usage counts the first
two inside its prompt tokens, so subtract them there; Anthropic's counts them beside. Thoughts are
output. Google bills no writing to its cache, so there those tokens are plain input.

A dated or `-latest` name costs what its base name costs, and so does Bedrock's name for a model,
with or without a region. A model that is not in the table costs `DEFAULT`, and the ledger says so
(`price_known: false`). The table resembles the providers' list prices, but it is a test fixture:
it follows nobody's changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request in disjoint classes."""

    input: int = 0
    cached: int = 0
    written: int = 0
    output: int = 0

    @property
    def prompt(self) -> int:
        """All tokens of the prompt, however they were paid."""
        return self.input + self.cached + self.written


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-dollars per token of each class."""

    input: int
    cached: int
    written: int
    output: int


TABLE = {
    "gpt-4.1": Price(2_000, 500, 2_000, 8_000),
    "gpt-4.1-mini": Price(400, 100, 400, 1_600),
    "gpt-4.1-nano": Price(100, 25, 100, 400),
    "gpt-4o-mini": Price(150, 75, 150, 600),
    "gpt-5": Price(1_250, 125, 1_250, 10_000),
    "gpt-5-mini": Price(250, 25, 250, 2_000),
    "gpt-5-nano": Price(50, 5, 50, 400),
    "gpt-5.4": Price(2_500, 250, 2_500, 15_000),
    "gpt-5.4-mini": Price(750, 75, 750, 4_500),
    "gpt-6-luna": Price(100, 10, 125, 500),
    "gpt-6-sol": Price(2_000, 200, 2_500, 10_000),
    "claude-haiku-4-5": Price(1_000, 100, 1_250, 5_000),
    "claude-haiku-5-5": Price(100, 10, 125, 500),
    "claude-opus-4-8": Price(5_000, 500, 6_250, 25_000),
    "claude-opus-5-5": Price(4_000, 200, 5_000, 20_000),
    "claude-sonnet-4-5": Price(3_000, 300, 3_750, 15_000),
    "claude-sonnet-4-6": Price(3_000, 300, 3_750, 15_000),
    "claude-sonnet-5": Price(2_000, 200, 2_500, 10_000),
    "claude-sonnet-5-5": Price(2_000, 100, 2_500, 10_000),
    "gemini-2.5-flash": Price(300, 30, 300, 2_500),
    "gemini-2.5-flash-lite": Price(100, 10, 100, 400),
    "gemini-2.5-pro": Price(1_250, 125, 1_250, 10_000),
    "gemini-3.1-flash-lite": Price(250, 25, 250, 1_500),
    "gemini-3.5-flash": Price(1_500, 150, 1_500, 9_000),
    "text-embedding-3-large": Price(130, 130, 130, 0),
    "text-embedding-3-small": Price(20, 20, 20, 0),
    "text-embedding-ada-002": Price(100, 100, 100, 0),
}
DEFAULT = Price(1_000, 100, 1_250, 5_000)

_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest)$")
_BEDROCK = re.compile(r"(?:.*/)?(?:[a-z-]+\.)?anthropic\.(.+?)(?:-v\d+(?::\d+)?)?")
_PER_MILLION = 1_000


def plain_name(model: str) -> str:
    """Give a model's own name: Bedrock adds region, vendor and version, or an ARN's head."""
    found = _BEDROCK.fullmatch(model)
    return found[1] if found else model


def lookup(model: str) -> Price | None:
    """Find the price of a model, or None if the table does not know it."""
    name = plain_name(model)
    return TABLE.get(name) or TABLE.get(_SNAPSHOT.sub("", name))


def listed() -> list[dict[str, str]]:
    """Give the table in US dollars per million tokens, as exact decimals."""
    return [
        {
            "model": model,
            "input": _dollars(per.input),
            "cache_read": _dollars(per.cached),
            "cache_write": _dollars(per.written),
            "output": _dollars(per.output),
        }
        for model, per in sorted(TABLE.items())
    ]


def _dollars(nano_dollars: int) -> str:
    """Write a price per token as dollars per million, with two decimals or as many as it needs."""
    whole, _, part = f"{Decimal(nano_dollars) / _PER_MILLION:f}".partition(".")
    return f"{whole}.{part:0<2}"


def price(model: str, usage: Usage) -> int:
    """Price a request in nano-dollars; an unknown model costs `DEFAULT`."""
    per = lookup(model) or DEFAULT
    return (
        usage.input * per.input
        + usage.cached * per.cached
        + usage.written * per.written
        + usage.output * per.output
    )
