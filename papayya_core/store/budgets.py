"""Budgets: set, change, look at and take away. Amounts are exact: Decimal dollars, or tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypedDict, Unpack, get_args

import psycopg
from psycopg.rows import dict_row

from papayya_core import rules
from papayya_core.errors import PapayyaError
from papayya_core.store import accounts, keys
from papayya_core.store.reads import Connection, UnknownName, find_run, rows, values
from papayya_core.store.sql import statements

_FILE = "budgets.sql"
_MOST_TOKENS = 2**62
Unit = Literal["usd", "tokens"]
Period = Literal["ever", "day", "month"]


class InvalidBudget(PapayyaError, ValueError):
    """A budget that cannot be set as it was given; nothing was changed."""


class Account(TypedDict, total=False):
    """Whose a budget is. All that is given must fit: an agent within a run, a tenant's key, …"""

    tenant: str | None
    run: str | None
    agent: str | None
    key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A cap on an account, in its current window. Amounts are dollars or tokens, see ``unit``.

    ``left`` may be negative: that is the overdraft. ``held``: by calls under way, and by those of
    which nobody knows the end yet. ``parked``: items that wait for it. ``since`` and ``renews_at``
    None: it is for ever.
    """

    id: int
    tenant: str | None
    run: str | None
    agent: str | None
    key: str | None
    unit: Unit
    per: Period
    timezone: str
    amount: Decimal
    spent: Decimal
    held: Decimal
    left: Decimal
    since: datetime | None
    renews_at: datetime | None
    parked: int
    changed_at: datetime

    @property
    def overdraft(self) -> Decimal:
        """What was spent and is held beyond the amount; 0 when there is something left."""
        return max(-self.left, Decimal(0))

    @property
    def account(self) -> dict[str, str | None]:
        """Whose it is."""
        return {name: getattr(self, name) for name in Account.__annotations__}


class Change(NamedTuple):
    """What setting a budget has made of it; ``before`` None: it is new."""

    before: Budget | None
    after: Budget

    @property
    def changed(self) -> bool:
        """Tell whether it is another amount now, or begins at another hour."""
        now, was = self.after, self.before
        return was is None or (was.amount, was.timezone) != (now.amount, now.timezone)


class Parked(NamedTuple):
    """What a budget has parked of a run: items that a pump sends, and those of scripts."""

    run: str
    sent: int
    scripts: int


def dollars(value: object) -> Decimal:
    """Read an amount of US dollars: 40, "40.5", "$40". Raises InvalidBudget."""
    text = repr(value) if isinstance(value, float) else str(value).strip().removeprefix("$")
    try:
        nano = rules.nano_usd("bad" if isinstance(value, bool) else text)
    except ValueError:
        raise InvalidBudget(
            f"a budget is 0 to 4 billion US dollars, written 40 or 40.5, not {value!r}"
        ) from None
    exact = rules.usd(nano)
    if exact != Decimal(text):
        raise InvalidBudget(f"the amount {value} has more than 9 digits after the point")
    return exact


def _tokens(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST_TOKENS:
        raise InvalidBudget(f"a budget of tokens is a whole number, 0 or more, not {value!r}")
    return value


class Wanted(NamedTuple):
    """A budget as it is to be set; the amount is in dollars or tokens."""

    account: dict[str, str | None]
    unit: Unit
    amount: Decimal
    per: Period
    timezone: str | None

    def unkept(self) -> Budget:
        """Return it as it is where no database is asked."""
        whose: dict[str, Any] = {"unit": self.unit, "per": self.per, **self.account}
        whose["timezone"] = self.timezone or "UTC"
        none: dict[str, Any] = dict.fromkeys(("spent", "held"), Decimal(0)) | {
            "since": None,
            "renews_at": None,
        }
        amounts = {"amount": self.amount, "left": self.amount, **none}
        return Budget(id=0, parked=0, changed_at=datetime.now(UTC), **whose, **amounts)


def wanted(
    *,
    usd: object = None,
    tokens: int | None = None,
    per: Period = "ever",
    timezone: str | None = None,
    **account: Unpack[Account],
) -> Wanted:
    """Look whether a budget can be set so. Raises InvalidBudget or InvalidKey."""
    whose = _checked(account)
    if (usd is None) == (tokens is None):
        raise InvalidBudget("a budget has one amount: give either usd or tokens")
    if per not in get_args(Period):
        raise InvalidBudget(f"a budget is for ever, per day or per month, not per {per!r}")
    if per == "ever" and timezone is not None:
        raise InvalidBudget("a budget for ever has no days that begin somewhere; say per")
    if tokens is None:
        return Wanted(whose, "usd", dollars(usd), per, timezone)
    return Wanted(whose, "tokens", Decimal(_tokens(tokens)), per, timezone)


def set_budget(connection: Connection, **given: Any) -> Change:
    """Set a budget as ``wanted`` takes it, or change it; see ``put``."""
    return put(connection, wanted(**given))


def put(connection: Connection, want: Wanted) -> Change:
    """Set a budget, or change it; the same again changes nothing.

    Tenants and agents may be new. Raises InvalidBudget, or UnknownName for a run or key.
    """
    params: dict[str, object] = {"usd": None, "tokens": None, want.unit: want.amount}
    params |= {"per": want.per, "timezone": want.timezone, **want.account}
    for name, find in (("run", find_run), ("key", keys.find_key)):
        if (given := want.account[name]) is not None:
            find(connection, given)
    before = _exactly(connection, want.account, unit=want.unit, per=want.per)
    [number] = _run(connection, "set_budget", params)  # alone: whoever settles waits for its commit
    [after] = _read(connection, id=number)
    return Change(before[0] if before else None, after)


def _checked(account: Account) -> dict[str, str | None]:
    whose = accounts.checked(Account.__annotations__, account)
    if not any(whose.values()):
        raise InvalidBudget("a budget is of somebody: give a tenant, run, agent or key")
    return whose


def _run(connection: Connection, name: str, params: dict[str, object]) -> list[Any]:
    try:
        return values(connection, name, _FILE, **params)
    except psycopg.errors.InvalidParameterValue as error:
        said = (error.diag.message_primary, error.diag.message_hint)
        raise InvalidBudget(". ".join(part for part in said if part)) from None


def get_budget(
    connection: Connection, *, unit: Unit = "usd", per: Period = "ever", **account: Unpack[Account]
) -> Budget | None:
    """Return the budget of exactly this account, unit and period; None when there is none."""
    found = find_budgets(connection, unit=unit, per=per, **account)
    return found[0] if found else None


def find_budgets(
    connection: Connection,
    *,
    unit: Unit | None = None,
    per: Period | None = None,
    **account: Unpack[Account],
) -> list[Budget]:
    """Return the budgets of exactly this account, one for each unit and period."""
    return _exactly(connection, _checked(account), unit=unit, per=per)


def _exactly(connection: Connection, whose: dict[str, str | None], **what: object) -> list[Budget]:
    try:
        ids = accounts.find(connection, whose)
    except UnknownName:
        return []
    return _read(connection, exact=True, **what, **ids)


def list_budgets(
    connection: Connection, *, limit: int | None = None, **account: Unpack[Account]
) -> list[Budget]:
    """Return all budgets, or those that name this tenant, run, agent and key, among others.

    Those that stand come first, then those of runs, the newest first. Raises UnknownName.
    """
    whose = accounts.checked(Account.__annotations__, account)
    return _read(connection, limit=limit, **accounts.find(connection, whose))


def budget_of_id(connection: Connection, number: int) -> Budget | None:
    """Return a budget by its id."""
    found = _read(connection, id=number)
    return found[0] if found else None


def _read(connection: Connection, **given: object) -> list[Budget]:
    names = ("id", "unit", "per", "tenant", "run", "agent", "key", "limit")
    params = {**dict.fromkeys(names), "exact": False, **given}
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(statements(_FILE)["budgets"], params).fetchall()
    return [_budget(row) for row in found]


def _budget(row: dict[str, Any]) -> Budget:
    of = rules.usd if row["unit"] == "usd" else Decimal
    amounts = {name: of(row[name]) for name in ("amount", "spent", "held", "left")}
    return Budget(**{**row, **amounts})


def remove_budget(connection: Connection, number: int) -> bool:
    """Take a budget away; what it has parked goes on. False: there was none."""
    return values(connection, "remove_budget", _FILE, id=number) != [None]


def parked_by(connection: Connection, number: int) -> list[Parked]:
    """Count what a budget has parked, by run."""
    return rows(connection, "parked", Parked, _FILE, id=number)


def is_pumped(connection: Connection) -> bool:
    """Tell whether a pump is at work."""
    return bool(values(connection, "pump_leads", _FILE)[0])
