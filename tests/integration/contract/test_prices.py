"""The table of prices: which list applies, and what tokens come to, exactly."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.contract.sql import Contract

CLASSES = ("input", "cache_read", "cache_write", "cache_write_1h", "output")
START = datetime(2026, 1, 1, tzinfo=UTC)
MOST = 2**62
PATTERNS = ("*", "?*", "gpt-5", "gpt-5*", "gpt-?", "gpt*mini", "gpt*5*", "g%", "*5*")
NAMES = ("gpt-5", "gpt-5-mini", "GPT-5", "gpt-5-mini-2026-01-01", "g%", "")
PROVIDERS = ("*", "openai", "open*")


class Price(NamedTuple):
    """A row to be, in the order of its id."""

    tenant: int | None
    provider: str
    model: str
    class_: str
    usd: Decimal | None
    day: int


def price(
    db: Contract, class_: str, usd: object, model: str = "m", provider: str = "*", **more: Any
) -> None:
    given = {"tenant": None, "at": START, "source": "s"} | more
    db.rows(
        "INSERT INTO papayya.price (tenant_id, provider, model, class, usd_per_million, valid_from, source)"
        " VALUES (%s, %s, %s, %s::papayya.token_class, %s, %s, %s)",
        *(given["tenant"], provider, model, class_, usd, given["at"], given["source"]),
    )


def both(db: Contract, usd: object, model: str = "m", provider: str = "*", **more: Any) -> None:
    """Set one price for input and output."""
    for name in ("input", "output"):
        price(db, name, usd, model, provider, **more)


def cost(
    db: Contract, *models: str | None, tokens: tuple[int | None, ...] = (1, 0, 0, 0, 0), **q: Any
) -> Any:
    """Ask price_v1: nano-dollars and source."""
    asked = {"tenant": None, "provider": "openai", "at": START + timedelta(days=30)} | q
    names = list(models) or ["m"]
    return db.one(
        "SELECT nusd, source FROM papayya.price_v1(%s, %s, %s::text[], %s, %s, %s, %s, %s, %s)",
        *(asked["tenant"], asked["provider"], names, asked["at"], *tokens),
    )


def bound(db: Contract, *models: str, prompt: int | None, output: int | None, **q: Any) -> Any:
    """Ask bound_v1."""
    asked = {"tenant": None, "provider": "openai", "at": START + timedelta(days=30)} | q
    return db.one(
        "SELECT papayya.bound_v1(%s, %s, %s::text[], %s, %s, %s)",
        *(asked["tenant"], asked["provider"], list(models) or ["m"], asked["at"], prompt, output),
    )


def test_no_prices(db: Contract) -> None:
    """An empty table says nothing."""
    assert cost(db) == (None, None)
    assert bound(db, prompt=1, output=1) is None


def test_rounded_once_half_up(db: Contract) -> None:
    """The sum over the classes is rounded, half up, and not each of them."""
    price(db, "input", "0.0005")
    price(db, "cache_read", "0.0004")
    price(db, "output", "0.0001")
    assert [cost(db, tokens=t)[0] for t in ((1, 0, 0, 0, 0), (0, 1, 0, 0, 0), (0, 1, 0, 0, 1))] == [
        1,
        0,
        1,
    ]


def test_stand_ins(db: Contract) -> None:
    """Cache reads and writes without a price cost what input does, hour-long ones what writes do."""
    both(db, 10)
    assert [cost(db, tokens=t)[0] for t in ((0, 1, 0, 0, 0), (0, 0, 1, 0, 0), (0, 0, 0, 1, 0))] == [
        10_000
    ] * 3
    price(db, "cache_write", 12)
    assert cost(db, tokens=(0, 0, 0, 1, 0))[0] == 12_000
    price(db, "cache_write_1h", 20)
    assert cost(db, tokens=(0, 0, 1, 1, 0))[0] == 32_000


def test_half_a_list_does_not_count(db: Contract) -> None:
    """A list without output, or without input, prices nothing; a wider whole one does."""
    price(db, "input", 1)
    assert cost(db) == (None, None)
    both(db, 3, "*")
    assert cost(db)[0] == 3_000


def test_source_names_the_row(db: Contract) -> None:
    """The source of a price is the newest row that it was made of."""
    both(db, 1, source="list")
    price(db, "input", 2, source="contract 17", at=START + timedelta(days=1))
    assert cost(db) == (2_000, "papayya prices #3: contract 17")
    assert cost(db, at=START)[1] == "papayya prices #2: list"


def test_history(db: Contract) -> None:
    """A price holds from its moment until the next one; of two for one moment, the later row."""
    for day, usd in ((0, 1), (10, 2), (10, 4), (5, 3)):
        both(db, usd, at=START + timedelta(days=day))
    found = [cost(db, at=START + timedelta(days=day))[0] for day in (-1, 0, 4, 5, 9, 10, 30)]
    assert found == [None, 1_000, 1_000, 3_000, 3_000, 4_000, 4_000]


def test_ended(db: Contract) -> None:
    """A list that ended gives way to the next wider one."""
    both(db, 1)
    both(db, 2, "*")
    both(db, None, at=START + timedelta(days=1))
    assert [cost(db, at=START)[0], cost(db)[0]] == [1_000, 2_000]


def test_patterns_hold_no_surprises(db: Contract) -> None:
    r"""Only * and ? are wildcards: %, _, \ and brackets stand for themselves, and case is nothing."""
    for usd, model in enumerate((r"a%", "a_c", r"a\*", "[ab]", "a?c-*"), start=1):
        both(db, usd, model)
    names = ("a%", "abc", "a_c", r"a\ b", "[ab]", "a", "aXc-Y", "axc-", "axc", "A%")
    assert [cost(db, name)[0] for name in names] == [
        *(1_000, None, 2_000, 3_000, 4_000, None, 5_000, 5_000, None, 1_000)
    ]


def test_which_list(db: Contract) -> None:
    """Tenant, then more than wildcards, then the first name, then the narrower model and provider."""
    acme = db.one("INSERT INTO papayya.tenant (name) VALUES ('acme') RETURNING id")
    order: list[tuple[str, str, int | None]] = [
        ("*", "*", None),
        ("*", "openai", None),
        ("asked", "*", None),
        ("a*", "*", None),
        ("an*", "*", None),
        ("an*ed", "*", None),
        ("an?wered", "*", None),
        ("answered", "*", None),
        ("answered", "open*", None),
        ("answered", "openai", None),
        ("*", "*", acme),
        ("asked", "*", acme),
    ]
    for usd, (model, provider, tenant) in enumerate(order, start=1):
        both(db, usd, model, provider, tenant=tenant)
        assert cost(db, "answered", "asked", tenant=acme)[0] == usd * 1_000, (model, provider)
    assert cost(db, "answered", "asked")[0] == 10_000


def test_names_that_are_missing(db: Contract) -> None:
    """An answer without a model's name is priced by the one that was asked for; none, by nothing."""
    both(db, 1)
    assert cost(db, None, "m")[0] == cost(db, "", "m")[0] == 1_000
    assert cost(db, None)[0] is None
    assert cost(db, "m", provider=None)[0] == 1_000


def test_absurd_tokens(db: Contract) -> None:
    """Tokens that are missing or negative are none; a sum that no amount can hold is unknown."""
    both(db, 1)
    assert cost(db, tokens=(None, -5, None, 0, 2))[0] == 2_000
    assert cost(db, tokens=(2**62, 0, 0, 0, 0)) == (None, None)
    assert bound(db, prompt=2**62, output=0) is None


def test_bound(db: Contract) -> None:
    """The bound takes the dearest class for all of the prompt; an output without a limit has none."""
    both(db, 1)
    price(db, "cache_write_1h", 7)
    assert bound(db, prompt=10, output=5) == 75_000
    assert bound(db, prompt=10, output=None) is None


@pytest.mark.parametrize("usd", ["-0.1", "1000001", "NaN"])
def test_insane_prices(db: Contract, usd: str) -> None:
    """What is no price is refused."""
    with pytest.raises(psycopg.errors.CheckViolation):
        price(db, "input", usd)


def test_plan(db: Contract) -> None:
    """With hundreds of prices, a model's are found by the index."""
    for name in ("input", "output"):
        db.rows(
            "INSERT INTO papayya.price (model, class, usd_per_million, valid_from, source) SELECT 'vendor-' || g %% 20"
            f" || '/model-' || g, '{name}', 1, %s, 's' FROM generate_series(1, 300) AS g",
            START,
        )
    db.rows("ANALYZE papayya.price")
    scans = "SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE relid = 'papayya.price'::regclass"
    with db.connection.transaction():
        before = db.one(scans)
        assert cost(db, "vendor-3/model-3", "x")[0] == 1_000
        after = db.one(scans)
    assert (after[0] - before[0] <= 1, after[1] > before[1]) == (
        True,
        True,
    )  # the EXISTS reads a row


whose = st.tuples(
    st.sampled_from([None, 1, 2]), st.sampled_from(PROVIDERS), st.sampled_from(PATTERNS)
)
amounts = st.integers(0, 10**12).map(lambda n: Decimal(n).scaleb(-9))
days = st.integers(0, 3)


@st.composite
def wholes(draw: st.DrawFn) -> list[Price]:
    who, day = draw(whose), draw(days)
    return [Price(*who, name, draw(amounts), day) for name in ("input", "output")]


@st.composite
def singles(draw: st.DrawFn) -> list[Price]:
    return [
        Price(*draw(whose), draw(st.sampled_from(CLASSES)), draw(st.none() | amounts), draw(days))
    ]


prices = st.lists(wholes() | singles(), max_size=20).map(
    lambda parts: [p for part in parts for p in part]
)
counts = st.tuples(*[st.integers(0, 10**9)] * 5)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=prices,
    tokens=counts,
    tenant=st.sampled_from([None, 1, 2, 3]),
    provider=st.sampled_from(["openai", "OpenAI", ""]),
    models=st.lists(st.sampled_from(NAMES), min_size=1, max_size=2),
    day=st.integers(0, 3),
)
def test_exact(
    db: Contract,
    rows: list[Price],
    tokens: tuple[int, ...],
    tenant: int | None,
    provider: str,
    models: list[str],
    day: int,
) -> None:
    """Whatever the table: the price is an exact computation's, and a bound is never below it."""
    with db.connection.transaction(force_rollback=True):
        for one in (1, 2):
            db.rows(
                "INSERT INTO papayya.tenant (id, name) OVERRIDING SYSTEM VALUE VALUES (%s, %s)",
                *(one, str(one)),
            )
        for row in rows:
            at = START + timedelta(days=row.day)
            price(db, row.class_, row.usd, row.model, row.provider, tenant=row.tenant, at=at)
        asked = {"tenant": tenant, "provider": provider, "at": START + timedelta(days=day)}
        rates = choose(rows, tenant, provider.lower(), [m.lower() for m in models], day)
        want = rates and exact(rates, tokens)
        assert cost(db, *models, tokens=tokens, **asked)[0] == want
        most = bound(db, *models, prompt=sum(tokens[:4]), output=tokens[4], **asked)
        assert most is None or (want is not None and most >= want)


def choose(
    rows: list[Price], tenant: int | None, provider: str, models: list[str], day: int
) -> dict[str, Decimal] | None:
    """Choose the list that applies, as the documentation says it."""
    names = [name for name in models if name]
    lists: dict[tuple[int | None, str, str], dict[str, Decimal | None]] = {}
    for row in sorted((r for r in rows if r.day <= day), key=lambda r: r.day):
        lists.setdefault((row.tenant, row.provider, row.model), {})[row.class_] = row.usd
    whole = {
        k: v for k, v in lists.items() if v.get("input") is not None and v.get("output") is not None
    }
    fitting = [
        (owner is None, not model.strip("*?"), first, wide(model), wide(where), model, where, owner)
        for owner, where, model in whole
        for first in [next((n for n, name in enumerate(names) if fits(model, name)), None)]
        if owner in (None, tenant) and fits(where, provider) and first is not None
    ]
    if not fitting:
        return None
    *_, model, where, owner = min(fitting)
    found = {k: v for k, v in whole[owner, where, model].items() if v is not None}
    found.setdefault("cache_read", found["input"])
    found.setdefault("cache_write", found["input"])
    found.setdefault("cache_write_1h", found["cache_write"])
    return found


def fits(pattern: str, name: str) -> bool:
    wild = {"*": ".*", "?": "."}
    text = "".join(wild.get(char, re.escape(char)) for char in pattern)
    return re.fullmatch(text, name, re.DOTALL) is not None


def wide(pattern: str) -> tuple[int, int, int, int]:
    """Say how wide a pattern is: the narrowest comes first."""
    [literal] = re.findall(r"^[^*?]*", pattern)
    plain = pattern.replace("*", "").replace("?", "")
    return int(literal != pattern), -len(literal), -len(plain), pattern.count("*")


def exact(rates: dict[str, Decimal], tokens: tuple[int, ...]) -> int | None:
    """Compute what tokens cost in nano-dollars."""
    total = sum((n * rates[name] for name, n in zip(CLASSES, tokens, strict=True)), Decimal(0))
    nano = int((total * 1000).to_integral_value(ROUND_HALF_UP))
    return nano if nano < MOST else None
