"""Prices are set all or none, again without effect, ended for good, and found as calls find them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from papayya_core.store import prices
from papayya_core.store.pricelists import InvalidPrice, PriceList
from papayya_core.store.reads import Connection, UnknownName
from papayya_core.testing.clock import Clock

NEXT = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def connection(papayya_database: str) -> Iterator[Connection]:
    """A connection as the command line has it."""
    with psycopg.connect(papayya_database, autocommit=True) as made:
        yield made


def of(input_: object = 1, output: object = 2, model: str = "m", **more: Any) -> PriceList:
    amounts = [None if one is None else Decimal(str(one)) for one in (input_, output)]
    return PriceList(model=model, input=amounts[0], output=amounts[1], **more)


def rates(connection: Connection, **where: Any) -> tuple[int, int] | None:
    found = prices.find_rates(connection, ["m"], **where)
    return None if found is None else (int(found.input), int(found.output))


def test_set_and_found(connection: Connection) -> None:
    """What is set is found, exactly, with its source and what stands in for other classes."""
    assert prices.find_rates(connection, ["m"]) is None
    one = of("0.000000001", "999999.999999999", source="contract")
    assert prices.set_prices(connection, [one]) == 2
    found = prices.find_rates(connection, ["M"])
    assert found is not None
    assert (found.input, found.cache_read) == (Decimal("0.000000001"), Decimal("0.000000001"))
    assert (found.output, found.source) == (Decimal("999999.999999999"), "contract")


def test_again_adds_nothing(connection: Connection) -> None:
    """The same prices again, now or from a later moment, add no row; a change adds only itself."""
    lists = [of(), of(3, 4, "n")]
    assert prices.set_prices(connection, lists) == 4
    assert prices.set_prices(connection, [*lists, of(valid_from=NEXT)]) == 0
    assert prices.set_prices(connection, [of(1, 5)]) == 1
    assert prices.set_prices(connection, [of(None, 2)]) == 1
    assert len(prices.history(connection)) == 6


def test_all_or_none(connection: Connection) -> None:
    """A list that would lack input or output is refused, and nothing of the batch is set."""
    with pytest.raises(InvalidPrice, match="n would have no price for output"):
        prices.set_prices(connection, [of(), of(1, None, "n")])
    with pytest.raises(InvalidPrice, match="two prices"):
        prices.set_prices(connection, [of(), of(5, 6)])
    assert prices.history(connection) == []


def test_to_come(connection: Connection, papayya_clock: Clock) -> None:
    """A price to come waits for its moment; until then the one before holds."""
    papayya_clock.freeze(NEXT - DAY)
    prices.set_prices(connection, [of(), of(3, 4, valid_from=NEXT)])
    assert [row.to_come for row in prices.history(connection)] == [True, True, False, False]
    assert (rates(connection), rates(connection, at=NEXT)) == ((1, 2), (3, 4))
    papayya_clock.shift(2 * DAY.total_seconds())
    assert rates(connection) == (3, 4)
    assert rates(connection, at=NEXT - DAY) == (1, 2)


def test_ended_for_good(connection: Connection) -> None:
    """An ended list ends what was to come, too; it can be set anew, and is history."""
    prices.set_prices(connection, [of(), of(3, 4, valid_from=NEXT), of(7, 8, "*")])
    assert prices.end_prices(connection, "M") == 4
    assert prices.end_prices(connection, "m") == 0
    assert (rates(connection), rates(connection, at=NEXT + DAY)) == ((7, 8), (7, 8))
    assert [one.model for one in prices.list_prices(connection)] == ["*"]
    assert prices.set_prices(connection, [of()]) == 2
    assert rates(connection) == (1, 2)


def test_ended_later(connection: Connection) -> None:
    """A list that ends at a moment holds until then."""
    prices.set_prices(connection, [of()])
    assert prices.end_prices(connection, "m", at=NEXT) == 2
    assert (rates(connection), rates(connection, at=NEXT)) == ((1, 2), None)


def test_tenants(connection: Connection) -> None:
    """A tenant's price is its own; a tenant that is not known is made only when that is wanted."""
    mine = of(5, 6, tenant="acme")
    with pytest.raises(UnknownName, match="no tenant 'acme'"):
        prices.set_prices(connection, [of(), mine])
    assert prices.set_prices(connection, [of(), mine], new_tenants=True) == 4
    assert (rates(connection), rates(connection, tenant="acme")) == ((1, 2), (5, 6))
    [listed] = prices.list_prices(connection, tenant="acme")
    assert (listed.tenant, listed.source) == ("acme", "set by hand")
    assert prices.end_prices(connection, "m", tenant="acme") == 2
    assert rates(connection, tenant="acme") == (1, 2)


def test_providers(connection: Connection) -> None:
    """A price of one provider is not another's; a pattern of providers is each of theirs."""
    prices.set_prices(connection, [of(provider="openai"), of(3, 4, provider="azure.*")])
    asked = [rates(connection, provider=name) for name in ("openai", "azure.ai.openai", "groq")]
    assert asked == [(1, 2), (3, 4), None]
