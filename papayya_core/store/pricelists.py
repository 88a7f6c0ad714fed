"""Prices as people write them: dollars per million tokens, by class, for models by pattern. No I/O.

A pattern is a name in which ``*`` stands for any text and ``?`` for one character.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

from papayya_core import rules
from papayya_core.errors import PapayyaError

CLASSES = ("input", "cache_read", "cache_write", "cache_write_1h", "output")
KEYS = ("model", *CLASSES, "provider", "tenant", "from", "source")
EVERYBODY = "*"
_DEAREST = Decimal(1_000_000)
_DIGITS = 9  # after the point


class InvalidPrice(PapayyaError, ValueError):
    """A price, or a list of prices, that cannot be applied; nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """What a model costs: US dollars per million tokens. A class that is None stays as it is.

    Of a new list ``input`` and ``output`` must be given; cache reads and writes cost what input
    costs until they have a price, and ``cache_write_1h`` what ``cache_write`` does. ``tenant``
    None: everybody. ``valid_from`` None: now.
    """

    model: str
    input: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    output: Decimal | None = None
    provider: str = EVERYBODY
    tenant: str | None = None
    valid_from: datetime | None = None
    source: str | None = None

    def rates(self) -> dict[str, Decimal]:
        """Return the prices that are given, by class."""
        given = {name: getattr(self, name) for name in CLASSES}
        return {name: value for name, value in given.items() if value is not None}


def amount(value: object) -> Decimal:
    """Read a price: text, a Decimal or a number, whose shortest decimal form counts."""
    try:
        usd = Decimal("bad" if isinstance(value, bool) else str(value).removeprefix("$"))
    except InvalidOperation:
        raise InvalidPrice(
            f"a price is a number of dollars per million tokens, not {value!r}"
        ) from None
    if not usd.is_finite() or not 0 <= usd <= _DEAREST:
        raise InvalidPrice(f"a price is 0 to {_DEAREST:,} dollars per million tokens, not {value}")
    if usd != round(usd, _DIGITS):
        raise InvalidPrice(f"the price {value} has more than {_DIGITS} digits after the point")
    return usd


def pattern(value: object, what: str) -> str:
    """Return a pattern in lower case. Raises InvalidKey."""
    text = rules.check_name(value, what)
    return "".join(char.lower() if char.isascii() else char for char in text)


def moment(text: str) -> datetime:
    """Read an ISO date or time; without an offset it is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidPrice(
            f"{text!r} is no moment; write 2026-12-01, or 2026-12-01T08:00+01:00"
        ) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def read(document: object, default: Mapping[str, object] = MappingProxyType({})) -> list[PriceList]:
    """Read parsed JSON: a list of objects, or an object with the list as ``prices``.

    Keys of each: ``model``, the classes, ``provider``, ``tenant``, ``from``, ``source``; where one
    is missing, ``default`` has it. Raises InvalidPrice, saying which entry is wrong.
    """
    entries = document.get("prices") if isinstance(document, Mapping) else document
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise InvalidPrice('prices are a JSON list: [{"model": …, "input": …, "output": …}, …]')
    return [_entry(place, entry, default) for place, entry in enumerate(entries, start=1)]


def _entry(place: int, entry: object, default: Mapping[str, object]) -> PriceList:
    if not isinstance(entry, Mapping) or "model" not in entry:
        raise InvalidPrice(f"entry {place} is no object with a model")
    if unknown := sorted(set(map(str, entry)) - set(KEYS)):
        raise InvalidPrice(
            f"entry {place} ({entry['model']}) has {', '.join(unknown)}; accepted: {', '.join(KEYS)}"
        )
    own = {str(key): value for key, value in entry.items() if value is not None}
    given: dict[str, Any] = {key: value for key, value in default.items() if value is not None}
    given |= own
    try:
        for name in given.keys() & set(CLASSES):
            given[name] = amount(given[name])
        if "from" in given:
            at = given.pop("from")
            given["valid_from"] = at if isinstance(at, datetime) else moment(str(at))
        return checked(PriceList(**given))
    except PapayyaError as error:
        raise InvalidPrice(f"entry {place} ({entry['model']}): {error}") from None


def checked(one: PriceList) -> PriceList:
    """Return a list as it is stored. Raises InvalidPrice or InvalidKey."""
    rates = {name: amount(value) for name, value in one.rates().items()}
    if not rates:
        raise InvalidPrice(f"no price for {one.model}; give input and output")
    if one.valid_from is not None and one.valid_from.tzinfo is None:
        raise InvalidPrice(f"{one.valid_from} has no time zone; use datetime(…, tzinfo=UTC)")
    return PriceList(
        model=pattern(one.model, "a model"),
        provider=pattern(one.provider, "a provider"),
        tenant=None if one.tenant is None else rules.check_name(one.tenant, "a tenant"),
        valid_from=one.valid_from,
        source=None if one.source is None else rules.storable(str(one.source)),
        **rates,
    )


def refuse_repeated(lists: Sequence[PriceList]) -> None:
    """Raise InvalidPrice where two entries set one class of one list at one moment."""
    seen: set[tuple[object, ...]] = set()
    for one in lists:
        for name in one.rates():
            key = one.tenant, one.provider, one.model, one.valid_from, name
            if key in seen:
                raise InvalidPrice(f"{one.model} has two prices for {name}; leave one of them out")
            seen.add(key)
