"""`papayya prices`: what people say that models cost. Each act may be repeated without harm."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import IO, Any, TypeVar

import click

from papayya_core.cli import documents, show
from papayya_core.cli.pricing import MOMENT, USD, plain, show_, usd
from papayya_core.cli.state import NAME, Cli, Command, Section, pass_cli
from papayya_core.store import pricelists, prices
from papayya_core.store.pricelists import CLASSES, EVERYBODY, InvalidPrice, PriceList
from papayya_core.store.reads import UnknownName

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
KEPT = "What is booked already keeps its cost."
COLUMNS = (
    "MODEL",
    "PROVIDER",
    "TENANT",
    *(">" + name.upper().replace("_", "-") for name in CLASSES),
    "SINCE",
    "SOURCE",
)
HISTORY = ("ID", "FROM", "MODEL", "PROVIDER", "TENANT", "CLASS", ">PRICE", "SET", "SOURCE")


_PROVIDER = click.option(
    "--provider", type=NAME, default=EVERYBODY, show_default=True, help="Only of this provider."
)
_TENANT = click.option("--tenant", type=NAME, help="Only for this tenant: its contract.")
_FROM = click.option("--from", "at", type=MOMENT, help="From when on, in UTC; else from now on.")
_SOURCE = click.option("--source", help="Who or what says so; kept with every call it prices.")
_NEW = click.option("--new-tenant", is_flag=True, help="Make the tenant if it is not known yet.")


@click.group("prices", cls=Section, invoke_without_command=True)
@click.option("--all", "every", is_flag=True, help="Every price that ever was, or is to come.")
@click.option("--tenant", type=NAME, help="Only the prices of this tenant.")
@documents.json_option
@pass_cli
@click.pass_context
def prices_(
    ctx: click.Context, cli: Cli, /, every: bool, tenant: str | None, as_json: bool
) -> None:
    """List the prices that people have set, in US dollars per million tokens.

    They go before the list prices of the plugins. MODEL and PROVIDER are patterns: * stands for any
    text, ? for one character. Of several lists that fit, a tenant's own wins, then the narrower
    pattern. `papayya prices show MODEL` says what applies.
    """
    if ctx.invoked_subcommand is not None:
        return
    if every:
        _history(prices.history(cli.connection, tenant=tenant), as_json)
        return
    found = prices.list_prices(cli.connection, tenant=tenant)
    if as_json:
        documents.emit({"prices": [_document(one) for one in found]})
        return
    out = show.console()
    if found:
        show.grid(out, COLUMNS, map(_line, found))
    else:
        out.print("no prices are set; the plugins' apply. papayya prices set MODEL sets one")
    if to_come := sum(row.to_come for row in prices.history(cli.connection, tenant=tenant)):
        out.print(f"{show.count(to_come, 'change')} to come; --all shows what", style="dim")


def _document(one: PriceList) -> dict[str, Any]:
    """Write a list as `papayya prices import` reads it."""
    rates = {name: plain(getattr(one, name)) for name in CLASSES}
    whose = {"model": one.model, "provider": one.provider, "tenant": one.tenant}
    return {**whose, **rates, "from": one.valid_from, "source": one.source}


def _line(one: PriceList) -> tuple[show.Cell, ...]:
    whose = show.name(one.model), show.name(one.provider), show.name(one.tenant)
    rates = (usd(getattr(one, name)) for name in CLASSES)
    return *whose, *rates, show.moment(one.valid_from), show.short(one.source or "")


def _history(found: Sequence[prices.PriceRow], as_json: bool) -> None:
    if as_json:
        documents.emit({"prices": [_event(row) for row in found]})
        return
    lines = [
        (
            str(row.id),
            show.moment(row.valid_from) + (" (to come)" if row.to_come else ""),
            *map(show.name, (row.model, row.provider, row.tenant)),
            row.class_,
            "ended" if row.usd_per_million is None else usd(row.usd_per_million),
            show.moment(row.created_at),
            show.short(row.source),
        )
        for row in found
    ]
    show.grid(show.console(), HISTORY, lines)


def _event(row: prices.PriceRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "from": row.valid_from,
        "model": row.model,
        "provider": row.provider,
        "tenant": row.tenant,
        "class": row.class_,
        "usd_per_million": plain(row.usd_per_million),
        "source": row.source,
        "created_at": row.created_at,
        "to_come": row.to_come,
    }


def _price_options(command: Decorated) -> Decorated:
    """Add an option for each class."""
    for name in reversed(CLASSES):
        flag = "--" + name.replace("_", "-")
        command = click.option(flag, name, type=USD, help=_HELP[name])(command)
    return command


_HELP = {
    "input": "Of a million tokens of the prompt.",
    "cache_read": "… that were read from a cache; else they cost what input does.",
    "cache_write": "… that were written to a cache; else they cost what input does.",
    "cache_write_1h": "… for an hour; else they cost what other cache writes do.",
    "output": "Of a million tokens of output, reasoning among them.",
}


@prices_.command("set", cls=Command)
@click.argument("model", type=NAME)
@_price_options
@_PROVIDER
@_TENANT
@_FROM
@_SOURCE
@_NEW
@documents.json_option
@pass_cli
def set_(cli: Cli, /, at: datetime | None, new_tenant: bool, as_json: bool, **what: Any) -> None:
    """Set what MODEL costs, in US dollars per million tokens.

    MODEL is a pattern, in single quotes for the shell: 'gpt-5*'. A new list needs --input and --output; later, what is not given stays as it is.
    """
    source = what.pop("source") or "set by hand"
    one = PriceList(**what, valid_from=at)
    added = _set(cli, [one], source, new_tenant=new_tenant)
    said = f"{show.count(added, 'price')} of {one.model} set {_since(at)}"
    _say("set", added, said if added else "nothing to do: these prices hold already", as_json)
    if added and one.input is not None and not as_json:
        _say_cached(cli, one)


@prices_.command("remove", cls=Command)
@click.argument("model", type=NAME)
@_PROVIDER
@_TENANT
@_FROM
@documents.json_option
@pass_cli
def remove(cli: Cli, /, model: str, at: datetime | None, as_json: bool, **whose: Any) -> None:
    """End what was set for MODEL.

    Name the pattern, its provider and tenant as they are listed. Prices to come end, too.
    """
    ended = prices.end_prices(cli.connection, model, at=at, **whose)
    said = f"{show.count(ended, 'price')} of {model} ended {_since(at)}"
    missing = f"nothing to do: no such prices of {model}; papayya prices lists patterns and whose"
    _say("remove", ended, said if ended else missing, as_json)


@prices_.command("import", cls=Command)
@click.argument("file", type=click.File(encoding="utf-8"))
@_PROVIDER
@_TENANT
@_FROM
@_SOURCE
@_NEW
@documents.json_option
@pass_cli
def import_(
    cli: Cli, /, file: IO[str], source: str | None, new_tenant: bool, as_json: bool, **default: Any
) -> None:
    """Set the prices of a JSON FILE, all or none.

    The same file again adds nothing; - reads stdin. A list of objects: model, input, cache_read, cache_write, cache_write_1h, output; and provider,
    tenant, from, source where they differ from the options. It reads what `papayya prices --json`
    writes.
    """
    try:
        document = json.loads(file.read(), parse_float=Decimal)
    except ValueError as error:
        raise InvalidPrice(f"{file.name} holds no JSON: {error}") from None
    default = {"provider": default["provider"], "tenant": default["tenant"], "from": default["at"]}
    found = pricelists.read(document, default)
    origin = source or f"imported from {file.name}"
    added = _set(cli, found, origin, new_tenant=new_tenant)
    said = f"{show.count(added, 'price')} of {show.count(len(found), 'list')} set"
    same = f"nothing to do: the prices of {show.count(len(found), 'list')} hold already"
    _say("import", added, said if added else same, as_json)


def _set(cli: Cli, lists: Sequence[PriceList], source: str, *, new_tenant: bool) -> int:
    try:
        return prices.set_prices(cli.first_connection, lists, source=source, new_tenants=new_tenant)
    except UnknownName as error:
        raise UnknownName(f"{error}; --new-tenant makes it") from None


def _since(at: datetime | None) -> str:
    return "from now on" if at is None else f"from {show.moment(at)} on"


def _say_cached(cli: Cli, given: PriceList) -> None:
    """Say what cache reads cost when nobody has said it: most providers take less for them."""
    want = pricelists.checked(given)
    for one in prices.list_prices(cli.connection, tenant=want.tenant, at=want.valid_from):
        if (one.model, one.provider, one.tenant) != (want.model, want.provider, want.tenant):
            continue
        if one.cache_read is None and one.input and one.output:  # without output it embeds
            price = usd(one.input)
            said = f"Cache reads cost what input does, {price}; --cache-read sets their price."
            show.console().print(said, soft_wrap=True)


def _say(act: str, changed: int, said: str, as_json: bool) -> None:
    documents.report(as_json, {"act": act, "changed": changed, "said": said})
    if changed and not as_json:
        show.console().print(KEPT)


prices_.add_command(show_)
