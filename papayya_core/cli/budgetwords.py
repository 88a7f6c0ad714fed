"""How budgets look to people and to programs, and what is said of the items that they park."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from papayya_core.cli import show
from papayya_core.cli.pricing import usd
from papayya_core.store import accounts, budgets
from papayya_core.store.budgets import Budget, Parked
from papayya_core.store.reads import Connection

_PER = {"ever": "", "day": " a day", "month": " a month"}
_SHOWN = 3  # runs


def amount(one: Budget, value: Decimal, *, bare: bool = False) -> str:
    """Show an amount of a budget in its unit: $40.00, 5,000 tokens."""
    return usd(value) if one.unit == "usd" else f"{value:,}{'' if bare else ' tokens'}"


def left(one: Budget, *, bare: bool = False) -> str:
    """Show what is left of a budget: $2.50 left, or by how much it is overdrawn."""
    if one.overdraft:
        return f"over by {amount(one, one.overdraft, bare=bare)}"
    return amount(one, one.left, bare=True) if bare else f"{amount(one, one.left)} left"


def renews(one: Budget) -> str:
    """Show when a budget starts anew, in its own time zone."""
    if one.renews_at is None:
        return "never"
    try:
        zone = ZoneInfo(one.timezone)
    except (ValueError, OSError, ZoneInfoNotFoundError):  # Postgres knows more names than some do
        return f"{show.moment(one.renews_at)} here"
    return f"{one.renews_at.astimezone(zone):%Y-%m-%d %H:%M} {one.timezone}"


def words(one: Budget) -> str:
    """Say what a budget is: $40.00 a month for tenant acme."""
    return f"{amount(one, one.amount)}{_PER[one.per]} for {accounts.words(one.account)}"


def document(one: Budget) -> dict[str, Any]:
    """Shape a budget for --json; amounts are named by its unit."""
    whose = {"id": one.id, **one.account, "unit": one.unit, "per": one.per}
    amounts: dict[str, Any] = {}
    for name in ("amount", "spent", "held", "left", "overdraft"):
        value = getattr(one, name)
        if one.unit == "usd":
            amounts[f"{name}_nusd"] = int(value.scaleb(9))
        else:
            amounts[f"{name}_tokens"] = int(value)
    times = {"timezone": one.timezone, "since": one.since, "renews_at": one.renews_at}
    return {**whose, **amounts, **times, "parked": one.parked, "changed_at": one.changed_at}


def next_steps(
    connection: Connection, one: Budget, parked: Sequence[Parked], *, gone: bool = False
) -> list[str]:
    """Say how the items go on that a budget has parked; ``gone``: it was taken away."""
    sent, scripts = sum(each.sent for each in parked), sum(each.scripts for each in parked)
    if sent + scripts and one.left <= 0 and not gone:
        stay = "item stays" if sent + scripts == 1 else "items stay"
        until = f", or wait until it renews, {renews(one)}" if one.renews_at else ""
        return [f"{sent + scripts:,} {stay} parked: nothing is left. Raise it further{until}."]
    said = []
    if sent:
        go = "goes on by itself" if sent == 1 else "go on by themselves, the tenants in turn"
        room = "" if gone else ", as far as there is room"
        said.append(f"{show.count(sent, 'parked item')} {go}{room}.")
        said += [] if budgets.is_pumped(connection) else [_NO_PUMP]
    if scripts:
        go = "goes on" if scripts == 1 else "go on"
        said.append(
            f"{show.count(scripts, 'parked item')} of scripts {go} with: {_command(parked)}"
        )
    return said


_NO_PUMP = "No pump is at work that sends them: start a worker, or `papayya pump`."


def _command(parked: Sequence[Parked]) -> str:
    runs = [each.run for each in parked if each.scripts]
    ways = [f"PAPAYYA_RUN_ID={shlex.quote(run)} <your command>" for run in runs[:_SHOWN]]
    more = f", and {len(runs) - _SHOWN:,} more runs" if len(runs) > _SHOWN else ""
    return ", ".join(ways) + more
