"""
Rate limits: how much an API key may ask per minute, and how that is written.

A limit is a JSON object, or the same on the command line (``requests=60,tokens=10000``), of at
least one of these units, each a whole number per minute:

=============  ===============================================================================
requests       requests
tokens         tokens of the prompt and of the answer
input_tokens   tokens of the prompt
output_tokens  tokens of the answer
=============  ===============================================================================

and of whom it is for:

=============  ===============================================================================
key            the API key ends with this; absent: each key has this limit for itself
model          the model's name, or a pattern such as ``gpt-5*``: the models that it fits share
               the limit; absent: all models of the key share it
=============  ===============================================================================

All limits that fit a request must have room for it. They are token buckets, filled without a
break up to one minute's amount, and full at first, also after a restart. Tokens count when the
request comes: the prompt's, and for each sample `max_tokens`, or `USUAL_OUTPUT` where that is not
given; at the end of the answer that is corrected to what it had. A request that is turned down,
that can't be read or that a fault lets fail takes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from papayya_core.fake_provider.ask import Ask, JsonObject
from papayya_core.fake_provider.prices import Usage, plain_name

UNITS = ("requests", "tokens", "input_tokens", "output_tokens")
USUAL_OUTPUT = 256
Cost: TypeAlias = dict[str, int]
_WHOM = ("key", "model")


class BadLimit(ValueError):
    """A limit was asked for that can't be; the message says what is possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How much a key may ask per minute; see the module's docstring."""

    requests: int | None = None
    tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    key: str | None = None
    model: str | None = None

    @property
    def whom(self) -> tuple[str | None, str | None]:
        """Whom it is for: there is one limit for each of these."""
        return self.key, self.model

    def per_minute(self) -> Cost:
        """Give the units that it limits."""
        given = {unit: getattr(self, unit) for unit in UNITS}
        return {unit: amount for unit, amount in given.items() if amount is not None}

    def covers(self, api_key: str, model: str) -> bool:
        """Say whether it is for a request."""
        return api_key.endswith(self.key or "") and self.suits(model)

    def suits(self, model: str) -> bool:
        """Say whether it is for a model, by its own name or the one that Bedrock has for it."""
        names = (model, plain_name(model))
        return self.model is None or any(fnmatchcase(name, self.model) for name in names)


def expected(ask: Ask) -> Cost:
    """Say what a request counts when it comes."""
    usual = 0 if ask.dimensions is not None else USUAL_OUTPUT
    each = usual if ask.max_tokens is None else ask.max_tokens
    return _cost(ask.prompt_tokens, each * ask.samples)


def used(usage: Usage) -> Cost:
    """Say what a request counts in the end."""
    return _cost(usage.prompt, usage.output)


def _cost(prompt: int, output: int) -> Cost:
    """Count one request by units."""
    tokens = prompt + output
    return dict(zip(UNITS, (1, tokens, prompt, output), strict=True))


def read_limits(value: object) -> list[Limit]:
    """Read one limit, a list of limits, or {"limits": [...]}; raise `BadLimit` on any mistake."""
    if isinstance(value, dict) and "limits" in value:
        value = value["limits"]
    return [_read_limit(each) for each in (value if isinstance(value, list) else [value])]


def _read_limit(value: object) -> Limit:
    """Check one limit, field by field."""
    if not isinstance(value, dict):
        raise BadLimit(f"A limit must be an object such as {{'requests': 60}}, not {value!r}.")
    if unknown := value.keys() - {*UNITS, *_WHOM}:
        known = ", ".join((*UNITS, *_WHOM))
        raise BadLimit(f"A limit has no {', '.join(sorted(unknown))}; it has {known}.")
    given = {name: each for name, each in value.items() if each is not None}
    for name, each in given.items():
        _check(name, each)
    if not given.keys() & set(UNITS):
        raise BadLimit(f"A limit needs at least one of {', '.join(UNITS)}, per minute.")
    return Limit(**given)


def _check(name: str, value: Any) -> None:
    """Check one field."""
    if name in UNITS:
        if type(value) is not int or value < 1:
            raise BadLimit(f"A limit's {name} must be a whole number from 1, not {value!r}.")
    elif not isinstance(value, str) or not value:
        raise BadLimit(f"A limit's {name} must be a text, not {value!r}.")


def from_specs(specs: Iterable[str]) -> tuple[Limit, ...]:
    """Read ``--limit`` values such as ``requests=60,tokens=10000,model=gpt-5*``."""
    return tuple(_read_spec(spec) for spec in specs)


def _read_spec(spec: str) -> Limit:
    """Read the short form of a limit."""
    given: JsonObject = {}
    for part in filter(None, (each.strip() for each in spec.split(","))):
        name, equals, text = (each.strip() for each in part.partition("="))
        if not equals or name in given:
            raise BadLimit(f"--limit {spec!r}: write each part once, as NAME=VALUE.")
        given[name] = int(text) if name in UNITS and text.isdecimal() else text
    return _read_limit(given)
