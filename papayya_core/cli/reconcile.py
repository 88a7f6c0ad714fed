"""`papayya reconcile`: say what a call cost whose end or price nobody knows."""

from __future__ import annotations

import click

from papayya_core import rules
from papayya_core.cli import callwords, documents, show
from papayya_core.cli.state import Cli, Command, pass_cli
from papayya_core.errors import PapayyaError
from papayya_core.store import callviews, reads
from papayya_core.store.callviews import CallFilter, CallRow


class NothingToReconcile(PapayyaError):
    """The cost of this call is known; the message says what it is."""


class AboveHeld(PapayyaError):
    """More than the call can have cost, by what was held for it; the message names both amounts."""


class Usd(click.ParamType[int]):
    """An amount of US dollars, kept in nano-dollars."""

    name = "amount"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Refuse what is no amount."""
        try:
            return rules.nano_usd(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("reconcile", cls=Command)
@click.argument("number", metavar="CALL", type=click.IntRange(1))
@click.option("--usd", "nusd", type=Usd(), metavar="AMOUNT", help="What it cost, in US dollars.")
@click.option("--not-billed", is_flag=True, help="The provider billed nothing for it.")
@click.option("--force", is_flag=True, help="Also above what it can have cost by its hold.")
@documents.json_option
@pass_cli
def reconcile(
    cli: Cli, /, number: int, nusd: int | None, not_billed: bool, force: bool, as_json: bool
) -> None:
    """Say what CALL cost, after a look at your provider's own ledger.

    For calls that are uncertain (a killed worker, a timeout), broken off, estimated or unpriced;
    `papayya calls --uncertain` and `--unpriced` list them. The cost of its item, run and tenant, and
    what is left of their budgets, follow at once.
    """
    if (nusd is None) != not_billed:
        raise click.UsageError("give either --usd AMOUNT or --not-billed")
    connection = cli.connection
    before = _find(connection, number)
    if not force:
        _refuse_above_held(before, nusd or 0)
    if callviews.reconcile(connection, number, nusd or 0) is None:
        raise NothingToReconcile(_why(before))
    now = _find(connection, number)
    if as_json:
        documents.emit({"act": "reconcile", "before": before, "call": now})
        return
    was = callwords.cost(before).plain
    show.console().print(
        f"call {number} of item {show.safe(now.item)}: {show.money(now.cost_nusd)}, was {was}"
    )


def _find(connection: reads.Connection, number: int) -> CallRow:
    found = callviews.list_calls(connection, CallFilter(call=number), 1)
    if not found:
        raise reads.UnknownName(f"no call {number}; papayya calls --uncertain lists those to end")
    return found[0]


def _refuse_above_held(one: CallRow, nusd: int) -> None:
    """Stop at an amount that is more likely a slip of the pen."""
    most = _most(one)
    if most is not None and nusd > most:
        raise AboveHeld(
            f"call {one.id} can have cost {show.money(most)} at most, by what was held for it, and"
            f" you say {show.money(nusd)}; if that is what was billed, add --force"
        )


def _most(one: CallRow) -> int | None:
    """Return the upper bound of an open cost in nano-dollars; None: nothing bounds it."""
    is_open = one.state in ("uncertain", "broken") or one.estimated
    if not is_open or one.held_nusd is None or one.reconciled_at is not None:
        return None
    return (one.cost_nusd or 0) + one.held_nusd


def _why(one: CallRow) -> str:
    if one.state == "pending":
        return f"call {one.id} is under way; what comes of it is settled by itself"
    cost = show.money(one.cost_nusd)
    return f"nothing to do: call {one.id} is {one.state}, and cost {cost}"
