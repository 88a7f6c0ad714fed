"""Prices as people write them: what is read, and what is refused with which words."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from papayya_core.errors import InvalidKey, PapayyaError
from papayya_core.store.pricelists import (
    InvalidPrice,
    PriceList,
    amount,
    checked,
    moment,
    read,
    refuse_repeated,
)


@pytest.mark.parametrize(
    ("value", "usd"),
    [("0.75", "0.75"), (3, "3"), (0.1, "0.1"), (Decimal("1e-9"), "0.000000001"), ("$2.50", "2.5")],
)
def test_amounts(value: object, usd: str) -> None:
    """A price is text, a number or a Decimal, and stays exact."""
    assert amount(value) == Decimal(usd)


@pytest.mark.parametrize(
    "value", [True, None, "", "cheap", "-1", "nan", "inf", "1000001", "0.0000000001", "1,50"]
)
def test_no_amounts(value: object) -> None:
    """What is no price, or has more digits than are kept, is refused."""
    with pytest.raises(InvalidPrice, match="price"):
        amount(value)


def test_document() -> None:
    """A list of prices is read with its own fields first, then the defaults."""
    document = [
        {"model": "GPT-5*", "input": "0.75", "output": 4, "cache_read": None},
        {"model": "m", "input": 1, "output": 2, "tenant": "acme", "from": "2026-12-01"},
    ]
    first, second = read(document, {"provider": "openai", "tenant": "zen", "from": None})
    assert first == PriceList(
        model="gpt-5*",
        input=Decimal("0.75"),
        output=Decimal(4),
        provider="openai",
        tenant="zen",
    )
    assert (second.tenant, second.valid_from) == ("acme", datetime(2026, 12, 1, tzinfo=UTC))


def test_document_of_the_command() -> None:
    """What `papayya prices --json` prints is read, too."""
    assert [one.model for one in read({"prices": [{"model": "m", "input": 1, "output": 2}]})] == [
        "m"
    ]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("text", "a JSON list"),
        ({"price": []}, "a JSON list"),
        ([1], "entry 1 is no object with a model"),
        ([{"input": 1}], "entry 1 is no object with a model"),
        ([{"model": "m", "cached": 1}], r"entry 1 \(m\) has cached; accepted: model, input"),
        ([{"model": "m", "input": "much"}], r"entry 1 \(m\): a price is a number"),
        ([{"model": "m"}], "no price for m; give input and output"),
        ([{"model": "m", "input": 1, "from": "soon"}], "'soon' is no moment"),
        ([{"model": "", "input": 1}], "a model must have 1 to 500 characters"),
        ([{"model": "m", "input": 1, "provider": 7}], "a provider must be a str"),
    ],
)
def test_bad_documents(document: object, says: str) -> None:
    """A document that cannot be read is refused, and the entry is named."""
    with pytest.raises(InvalidPrice, match=says):
        read(document)


def test_repeated() -> None:
    """Two prices for one class of one list are refused; of two tenants they are not."""
    one = PriceList(model="m", input=Decimal(1))
    refuse_repeated([one, PriceList(model="m", output=Decimal(1))])
    refuse_repeated([one, PriceList(model="m", input=Decimal(2), tenant="acme")])
    with pytest.raises(InvalidPrice, match="m has two prices for input"):
        refuse_repeated([one, PriceList(model="m", input=Decimal(2))])


def test_checked() -> None:
    """A list is stored in lower case; names, amounts and moments that cannot be are refused."""
    assert checked(PriceList(model="ÀB", input=Decimal(1))).model == "Àb"
    bad: list[tuple[PriceList, type[PapayyaError]]] = [
        (PriceList(model="a\0", input=Decimal(1)), InvalidKey),
        (PriceList(model="m", input=Decimal(-1)), InvalidPrice),
        (PriceList(model="m", input=Decimal(1), valid_from=datetime(2026, 1, 1)), InvalidPrice),  # noqa: DTZ001
    ]
    for one, error in bad:
        with pytest.raises(error):
            checked(one)


def test_moments() -> None:
    """A moment without an offset is UTC."""
    assert moment("2026-12-01") == datetime(2026, 12, 1, tzinfo=UTC)
    assert moment("2026-12-01T01:00+01:00") == datetime(2026, 12, 1, tzinfo=UTC)
