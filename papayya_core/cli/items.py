"""`papayya items`: lists of items, a page at a time."""

from __future__ import annotations

from typing import Any, get_args

import click
from rich.console import Console

from papayya_core.cli import callwords, documents, show
from papayya_core.cli.redacting import redacted, redactor
from papayya_core.cli.state import NAME, Cli, Command, pass_cli
from papayya_core.contract import ItemState, Outcome
from papayya_core.store import reads
from papayya_core.store.reads import ItemFilter, ItemRow

STATES = click.Choice(get_args(ItemState))
COLUMNS = ("KEY", "TENANT", "STATE", "OUTCOME", ">COST", "WHY")


@click.command("items", cls=Command)
@click.option("--run", type=NAME, help="Only the items of this run.")
@click.option("--tenant", type=NAME, help="Only the items of this tenant.")
@click.option("--agent", type=NAME, help="Only the items of this agent.")
@click.option("--state", type=STATES, help="Only items in this state.")
@click.option("--outcome", type=click.Choice(get_args(Outcome)), help="Only with this outcome.")
@click.option("--flagged", is_flag=True, help="Only what needs a look: degraded or failed.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@click.option("--after", type=int, metavar="ID", help="Go on after this item (see the last line).")
@documents.jsonl_option
@pass_cli
def items(cli: Cli, /, limit: int, as_json: bool, jsonl: bool, **wanted: Any) -> None:
    """List items, newest first."""
    connection = cli.connection
    found = reads.list_items(connection, narrow(connection, **wanted), limit + 1)
    found = redacted(found, redactor(cli))
    shown, cut = found[:limit], len(found) > limit
    more = None
    if cut:
        again = {**wanted, "limit": limit, "after": shown[-1].id}
        more = show.go_on("papayya items", again)
    if jsonl:
        documents.emit_lines(shown, more)
    elif as_json:
        documents.emit({"items": shown, "next": shown[-1].id if cut else None})
    else:
        _print(shown, wanted["run"], more)


def narrow(connection: reads.Connection, **wanted: Any) -> ItemFilter:
    """Look up the names of a filter. Raises UnknownName."""
    find = {"run": reads.find_run, "tenant": reads.find_tenant, "agent": reads.find_agent}
    for name, lookup in find.items():
        if wanted.get(name) is not None:
            wanted[name] = lookup(connection, wanted[name])
    return ItemFilter(**wanted)


def _print(shown: list[ItemRow], run: str | None, more: str | None) -> None:
    out = show.console()
    if not shown:
        out.print("no such items")
        return
    table(out, shown, runs=run is None)
    if more:
        out.print(more, style="dim", soft_wrap=True)


def table(out: Console, shown: list[ItemRow], *, runs: bool) -> None:
    """Print items, with their runs if they may be of several."""
    lines = [(*_line(one), show.name(one.run)) if runs else _line(one) for one in shown]
    show.grid(out, (*COLUMNS, "RUN") if runs else COLUMNS, lines)


def _line(one: ItemRow) -> tuple[show.Cell, ...]:
    why = show.short(one.reason, 60) if one.reason else ""
    words = show.word(one.state), show.word(one.outcome)
    return (
        show.name(one.key),
        show.name(one.tenant),
        *words,
        callwords.sum_of(one.cost_nusd, one),
        why,
    )
