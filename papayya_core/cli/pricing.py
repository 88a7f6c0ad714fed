"""`papayya prices show`: what applies to a model, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

import click

from papayya_core.call import Priced, PriceQuestion, Tokens
from papayya_core.cli import documents, show
from papayya_core.cli.state import NAME, Cli, Command, pass_cli
from papayya_core.store import pricelists, prices
from papayya_core.store.pricelists import CLASSES, EVERYBODY, InvalidPrice
from papayya_core.store.reads import Connection

_FEW, _MANY = 1_000, 1_000_000
Ask = Callable[[Tokens], Priced | None]


class Checked(click.ParamType[Any]):
    """A value that pricelists knows how to read."""

    def __init__(self, name: str, read: Callable[[str], object]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Say what is wrong as wrong usage."""
        try:
            return self._read(str(value))
        except InvalidPrice as error:
            self.fail(str(error), param, ctx)


USD = Checked("usd", pricelists.amount)
MOMENT = Checked("moment", pricelists.moment)


def usd(price: Decimal | None) -> str:
    """Show a price with two digits after the point, or as many as it has."""
    if price is None:
        return show.NONE
    whole, _, fraction = f"{price:,.9f}".partition(".")
    return f"${whole}.{fraction.rstrip('0').ljust(2, '0')}"


def plain(price: Decimal | None) -> str | None:
    """Write a price for programs: ``0.75``."""
    if price is None:
        return None
    text = f"{price:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True)
class Applied:
    """What a million tokens of a class cost, and in a prompt of more than a million."""

    name: str
    price: Decimal | None
    long: Decimal | None
    source: str


@click.command("show", cls=Command)
@click.argument("model", type=NAME)
@click.option("--provider", type=NAME, help="At this provider: openai, aws.bedrock, …")
@click.option("--tenant", type=NAME, help="For this tenant.")
@click.option("--at", type=MOMENT, help="At this moment, in UTC; else now.")
@documents.json_option
@pass_cli
def show_(cli: Cli, /, model: str, as_json: bool, **where: Any) -> None:
    """Show what applies to MODEL, and where it comes from.

    In US dollars per million tokens. LONG PROMPTS: in those of more than a million tokens, where
    the provider takes more for them.
    """
    connection = cli.connection
    where["at"] = where["at"] or prices.now(connection)
    where["provider"] = where["provider"] or ""
    found = _of_table(connection, model, where) or _of_plugins(cli, model, where)
    if as_json:
        _emit(model, where, found)
        return
    out = show.console()
    if not found:
        out.print(show.safe(_unpriced(model, where["provider"])), soft_wrap=True)
    else:
        dearer = any(one.long != one.price for one in found)
        columns = ("CLASS", ">PRICE", *((">LONG PROMPTS",) if dearer else ()), "SOURCE")
        show.grid(out, columns, [_line(one, dearer) for one in found])
    if others := _elsewhere(connection, model, where):
        out.print(
            show.safe(f"prices at {', '.join(others)} were set, too; --provider shows them"),
            soft_wrap=True,
        )


def _line(one: Applied, dearer: bool) -> tuple[show.Cell, ...]:
    return one.name, usd(one.price), *((usd(one.long),) if dearer else ()), one.source


def _emit(model: str, where: dict[str, Any], found: list[Applied]) -> None:
    classes = {
        one.name: {
            "usd_per_million": plain(one.price),
            "usd_per_million_long": plain(one.long),
            "source": one.source,
        }
        for one in found
    }
    documents.emit({"model": model, **where, "priced": bool(found), "classes": classes})


def _unpriced(model: str, provider: str) -> str:
    here = f" at {provider}" if provider else ""
    maybe = "" if provider else " Name its --provider, if it is a provider's own; or"
    return (
        f"{model} is unpriced{here}: nobody set a price, and no plugin knows one.{maybe}"
        f" {'set' if maybe else 'Set'} it: papayya prices set {model} --input USD --output USD"
    )


def _of_table(connection: Connection, model: str, where: dict[str, Any]) -> list[Applied]:
    rates = prices.find_rates(connection, [model], **where)
    if rates is None:
        return []
    source = f"papayya prices #{rates.price_id}: {rates.source}"
    both = ((name, getattr(rates, name)) for name in CLASSES)
    return [Applied(name, price, price, source) for name, price in both]


def _of_plugins(cli: Cli, model: str, where: dict[str, Any]) -> list[Applied]:
    from papayya_core.plugins import Plugins

    plugins = Plugins(cli.settings.plugins)
    at: datetime = where["at"]

    def ask(tokens: Tokens) -> Priced | None:
        return plugins.price(PriceQuestion(where["provider"], model, tokens, at))

    found = [_derived(ask, name) for name in CLASSES]
    return found if any(one.price is not None for one in found) else []


def _derived(ask: Ask, name: str) -> Applied:
    """Tell the price of a class from what more of its tokens cost."""
    some, source = _more(ask, Tokens(), name, _FEW)
    many, _ = _more(ask, Tokens(input=_MANY), name, _MANY)
    return Applied(name, some, many, source)


def _more(ask: Ask, base: Tokens, name: str, count: int) -> tuple[Decimal | None, str]:
    before, after = ask(base), ask(replace(base, **{name: getattr(base, name) + count}))
    if before is None or after is None:
        return None, ""
    return Decimal((after.nusd - before.nusd) * (_MANY // count)).scaleb(-9), after.source


def _elsewhere(connection: Connection, model: str, where: dict[str, Any]) -> list[str]:
    """Name the providers that have a price of their own, when none was asked for."""
    if where["provider"]:
        return []
    lists = prices.list_prices(connection, at=where["at"])
    fitting = (one for one in lists if fnmatchcase(model.lower(), one.model.replace("[", "[[]")))
    return sorted({one.provider for one in fitting} - {EVERYBODY})
