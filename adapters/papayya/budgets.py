"""``budget`` and ``limit``: caps and rate limits, set and changed by a program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Unpack

import psycopg

from papayya_core.errors import StoreRefused, StoreUnavailable
from papayya_core.runtime import runtime
from papayya_core.store import budgets, limits
from papayya_core.store.budgets import Account, Budget, InvalidBudget, Period, Unit
from papayya_core.store.limits import BURST, InvalidLimit, RateLimit, Scope
from papayya_core.store.reads import Connection


def _is_off() -> bool:
    return runtime().settings.mode == "off"


@contextmanager
def _connection() -> Iterator[Connection]:
    """A connection of its own: budgets are set now and then, and items must not wait for it."""
    dsn = runtime().dsn
    try:
        with psycopg.connect(
            dsn, autocommit=True, prepare_threshold=None, application_name="papayya"
        ) as connection:
            yield connection
    except psycopg.OperationalError as error:
        msg = f"Postgres cannot be reached: {error}. `papayya doctor` says more."
        raise StoreUnavailable(msg) from error
    except psycopg.Error as error:
        msg = f"Postgres refused it: {error}. `papayya doctor` checks the database."
        raise StoreRefused(msg) from error


class Budgets:
    """Caps on what is spent, in US dollars or tokens. They count at once, in all workers.

    A budget is of a tenant, run, agent and key of a provider: of one of them, or of what fits all
    that are given. In the mode `off` nothing is kept. Each method asks Postgres, and blocks: a
    coroutine calls it by `asyncio.to_thread`.
    """

    def set(
        self,
        *,
        usd: object = None,
        tokens: int | None = None,
        per: Period = "ever",
        timezone: str | None = None,
        **account: Unpack[Account],
    ) -> Budget:
        """Set a budget, or change it; the same again changes nothing.

        ``account``: `tenant=`, `run=`, `agent=`, `key=`; tenants and agents may be new. ``usd`` or
        ``tokens``: how much. ``per``: `ever`, `day` or `month`, which begin in ``timezone``, UTC
        if it is new. What a budget has parked goes on when it is raised. Raises InvalidBudget,
        UnknownName for a run or key, StoreError.
        """
        wanted = budgets.wanted(usd=usd, tokens=tokens, per=per, timezone=timezone, **account)
        if _is_off():
            return wanted.unkept()
        with _connection() as connection:
            return budgets.put(connection, wanted).after

    def get(
        self, *, unit: Unit = "usd", per: Period = "ever", **account: Unpack[Account]
    ) -> Budget | None:
        """Return the budget of exactly this account, unit and period; None when there is none."""
        if _is_off():
            return None
        with _connection() as connection:
            return budgets.get_budget(connection, unit=unit, per=per, **account)

    def list(self, **account: Unpack[Account]) -> list[Budget]:
        """Return all budgets, or those that name this tenant, run, agent and key, among others."""
        if _is_off():
            return []
        with _connection() as connection:
            return budgets.list_budgets(connection, **account)

    def remove(
        self, *, unit: Unit = "usd", per: Period = "ever", **account: Unpack[Account]
    ) -> bool:
        """Take a budget away; what it has parked goes on. False: there was none."""
        if _is_off():
            return False
        with _connection() as connection:
            found = budgets.get_budget(connection, unit=unit, per=per, **account)
            return found is not None and budgets.remove_budget(connection, found.id)


class Limits:
    """Limits of requests and tokens per minute. They count at once, in all workers.

    A limit is of a tenant, key, provider and model (a pattern): of one of them, or of what fits all
    that are given. Without a tenant all tenants share it, in fair turns. In the mode `off` nothing
    is kept. Each method asks Postgres, and blocks: a coroutine calls it by `asyncio.to_thread`.
    """

    def set(
        self,
        *,
        requests: float | None = None,
        tokens: float | None = None,
        burst: float = BURST,
        **scope: Unpack[Scope],
    ) -> RateLimit:
        """Set a limit per minute, or change it; what is not given is not limited.

        ``scope``: `tenant=`, `key=`, `provider=`, `model=`; tenants may be new. ``burst``: seconds
        of it that may come at once. Raises InvalidLimit, UnknownName for a key, StoreError.
        """
        wanted = limits.wanted(requests=requests, tokens=tokens, burst=burst, **scope)
        if _is_off():
            return wanted.unkept()
        with _connection() as connection:
            return limits.put(connection, wanted).after

    def get(self, **scope: Unpack[Scope]) -> RateLimit | None:
        """Return the limit that was set on exactly this; None when there is none."""
        if _is_off():
            return None
        with _connection() as connection:
            return limits.get_limit(connection, **scope)

    def list(self, **scope: Unpack[Scope]) -> list[RateLimit]:
        """Return all limits, set and learned, or those that name this tenant, key, … among others."""
        if _is_off():
            return []
        with _connection() as connection:
            return limits.list_limits(connection, **scope)

    def remove(self, **scope: Unpack[Scope]) -> bool:
        """Take away a limit that was set; what waits for it goes on. False: there was none."""
        if _is_off():
            return False
        with _connection() as connection:
            found = limits.get_limit(connection, **scope)
            return found is not None and limits.remove_limit(connection, found.id)


budget = Budgets()
limit = Limits()

__all__ = [
    "Budget",
    "Budgets",
    "InvalidBudget",
    "InvalidLimit",
    "Limits",
    "RateLimit",
    "budget",
    "limit",
]
