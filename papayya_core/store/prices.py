"""The table of prices, which goes before every plugin's: set, end, look up.

Rows are only ever added, so that what a call was priced by can be looked up for ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from papayya_core.store.pricelists import (
    EVERYBODY,
    InvalidPrice,
    PriceList,
    checked,
    pattern,
    refuse_repeated,
)
from papayya_core.store.reads import Connection, find_tenant, rows, values
from papayya_core.store.sql import statements

_FILE = "prices.sql"


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One price as it was set; ``usd_per_million`` None: it ended."""

    id: int
    valid_from: datetime
    tenant: str | None
    provider: str
    model: str
    class_: str
    usd_per_million: Decimal | None
    source: str
    created_at: datetime
    to_come: bool


@dataclass(frozen=True, slots=True)
class Rates:
    """The prices that apply to a model, US dollars per million tokens, every class filled in."""

    input: Decimal
    cache_read: Decimal
    cache_write: Decimal
    cache_write_1h: Decimal
    output: Decimal
    price_id: int
    source: str


def set_prices(
    connection: Connection,
    lists: Iterable[PriceList],
    *,
    source: str = "set by hand",
    new_tenants: bool = False,
) -> int:
    """Set prices, all or none; return how many were added. The same prices again add nothing.

    ``source``: of those that name none. ``new_tenants``: make tenants that are not known. Raises
    InvalidPrice, InvalidKey or UnknownName.
    """
    wanted = [checked(one) for one in lists]
    refuse_repeated(wanted)
    with connection.transaction():
        _need_tenants(connection, {one.tenant for one in wanted if one.tenant}, make=new_tenants)
        doc = json.dumps(_document(wanted, source))
        added = connection.execute(statements(_FILE)["add_prices"], {"doc": doc}).fetchall()
        for tenant, provider, model, at in dict.fromkeys(added):
            params = {"tenant": tenant, "provider": provider, "model": model, "at": at}
            if missing := values(connection, "lacking", _FILE, **params):
                raise InvalidPrice(_incomplete(model, missing))
    return len(added)


def _document(wanted: Sequence[PriceList], source: str) -> list[dict[str, str | int | None]]:
    """Give every price a line; amounts are text, so that they stay exact."""
    prices = ((one, name, usd) for one in wanted for name, usd in one.rates().items())
    return [
        {
            "seq": seq,
            "tenant": one.tenant,
            "provider": one.provider,
            "model": one.model,
            "class": name,
            "usd": f"{usd:f}",
            "valid_from": one.valid_from.isoformat() if one.valid_from else None,
            "source": one.source or source,
        }
        for seq, (one, name, usd) in enumerate(prices)
    ]


def _need_tenants(connection: Connection, names: set[str], *, make: bool) -> None:
    if make:
        connection.execute(statements(_FILE)["make_tenants"], {"names": sorted(names)})
    for name in values(connection, "unknown_tenants", _FILE, names=sorted(names)):
        find_tenant(connection, name)


def _incomplete(model: str, missing: Sequence[str]) -> str:
    return (
        f"{model} would have no price for {' and '.join(missing)}: give both input and output,"
        " with 0 for what costs nothing (embeddings have no output)"
    )


def end_prices(
    connection: Connection,
    model: str,
    *,
    provider: str = EVERYBODY,
    tenant: str | None = None,
    at: datetime | None = None,
    source: str = "ended by hand",
) -> int:
    """End a list of prices, now or at a moment, and what was to come after; return how many rows.

    Wider patterns, and then the plugins, price the model from then on. 0: there was no such list.
    """
    whose = None if tenant is None else find_tenant(connection, tenant)
    what = {"model": pattern(model, "a model"), "provider": pattern(provider, "a provider")}
    return len(values(connection, "end_prices", _FILE, **what, tenant=whose, at=at, source=source))


def list_prices(
    connection: Connection, *, tenant: str | None = None, at: datetime | None = None
) -> list[PriceList]:
    """Read the lists in force at a moment; ``valid_from`` is that of the newest price in each."""
    whose = None if tenant is None else find_tenant(connection, tenant)
    return rows(connection, "price_lists", PriceList, _FILE, tenant=whose, at=at)


def history(connection: Connection, *, tenant: str | None = None) -> list[PriceRow]:
    """Read every price that ever was or is to come, the newest first."""
    whose = None if tenant is None else find_tenant(connection, tenant)
    return rows(connection, "price_history", PriceRow, _FILE, tenant=whose)


def find_rates(
    connection: Connection,
    models: Sequence[str],
    *,
    provider: str = "",
    tenant: str | None = None,
    at: datetime | None = None,
) -> Rates | None:
    """Find the prices that apply; None when the table does not say. Two names at most."""
    whose = None if tenant is None else find_tenant(connection, tenant)
    params = {"models": list(models), "provider": provider, "tenant": whose, "at": at}
    found = rows(connection, "rates", Rates, _FILE, **params)
    return found[0] if found else None


def now(connection: Connection) -> datetime:
    """Read the clock of the contract."""
    [at] = values(connection, "clock", _FILE)
    assert isinstance(at, datetime)  # noqa: S101 - for the type checker
    return at
