"""`papayya outliers`: what stands out in a run, and what to do about it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import get_args

import click
from rich.console import Console
from rich.text import Text

from papayya_core.cli import documents, show
from papayya_core.cli.redacting import redacted, redactor
from papayya_core.cli.state import NAME, Cli, Command, pass_cli
from papayya_core.contract import ENDED
from papayya_core.store import acts, outliers, reads
from papayya_core.store.outliers import Measure, OutlierRow

ENOUGH = 20  # items, for a norm
NONE = show.NONE
COLUMNS = (">SCORE", ">ID", "KEY", "TENANT", "STATE", ">COST", ">TOKENS", ">CALLS", ">TIME")
STOPPED = "an outlier, cancelled by hand"
_SHOWN: dict[str, Callable[[float], str]] = {
    "cost": lambda value: show.money(round(value)),
    "tokens": lambda value: f"{value:,.0f} tokens",
    "calls": lambda value: f"{value:,g} calls",
    "seconds": show.seconds,
}


@click.command("outliers", cls=Command)
@click.argument("run", metavar="RUN", type=NAME)
@click.option("--by", type=click.Choice(get_args(Measure)), default="cost", show_default=True,
              help="What is compared; seconds: in workers' hands.")  # fmt: skip
@click.option("--threshold", type=click.FloatRange(0), default=3.5, show_default=True,
              help="The least score that is shown.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True,
              help="How many at most.")  # fmt: skip
@click.option("--kill", is_flag=True, help="End those of them that are open, for good.")
@click.option("--yes", is_flag=True, help="With --kill: do not ask.")
@documents.json_option
@pass_cli
def outliers_(
    cli: Cli, run: str, by: Measure, threshold: float, limit: int, kill: bool, yes: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Rank the items of RUN that cost, use, ask or last far more than the others.

    Items under way count too, with what they have come to so far. The score says how far an item is
    from the run's median, in units of the usual distance from it (0.6745 * distance / MAD); 3.5 and
    more is usually called an outlier.
    """
    if yes and not kill:
        raise click.UsageError("--yes needs --kill")
    if kill and as_json and not yes:
        raise click.UsageError("--kill with --json asks nothing: add --yes")
    connection = cli.connection
    reads.find_run(connection, run)
    top = outliers.list_outliers(connection, run, by, limit)
    found = redacted(
        [one for one in top if one.score is not None and one.score >= threshold], redactor(cli)
    )
    ids = [one.id for one in found if one.state not in ENDED]
    if as_json:
        killed = acts.cancel(connection, run, STOPPED, ids) if kill and ids else 0
        documents.emit(_document(run, by, threshold, top, found, killed if kill else None))
        return
    out = show.console()
    _print(out, by, threshold, top, found)
    if kill:
        _kill(out, connection, run, ids, yes=yes)
    elif found:
        _advise(out, run, by, found, ids)


def _document(
    run: str,
    by: Measure,
    threshold: float,
    top: Sequence[OutlierRow],
    found: Sequence[OutlierRow],
    killed: int | None,
) -> dict[str, object]:
    return {
        "run": run,
        "by": by,
        "threshold": threshold,
        "norm": _norm(by, top),
        "outliers": [shape(one) for one in found],
        "killed": killed,
    }


def _norm(by: Measure, top: Sequence[OutlierRow]) -> dict[str, float | None]:
    """Say what the items are held against; of cost in whole nano-dollars."""
    items, median, mad = (top[0].items, top[0].median, top[0].mad) if top else (0, None, None)
    if by != "cost":
        return {"items": items, "median": median, "mad": mad}
    whole = {"median_nusd": median, "mad_nusd": mad}
    return {"items": items} | {
        name: None if value is None else round(value) for name, value in whole.items()
    }


def shape(one: OutlierRow) -> dict[str, object]:
    """Shape an outlier for programs."""
    shown: dict[str, object] = documents.shape(one)
    for name in ("value", "median", "mad", "items"):
        del shown[name]
    return shown


def _print(
    out: Console,
    by: Measure,
    threshold: float,
    top: Sequence[OutlierRow],
    found: Sequence[OutlierRow],
) -> None:
    if not top:
        out.print(f"no item of the run has {_nothing(by)} yet")
        return
    first = top[0]
    what = "item" if first.items == 1 else "items"
    median = NONE if first.median is None else _SHOWN[by](first.median)
    norm = f"{by}: the median of {first.items:,} {what} is {median}"
    if first.mad:
        norm += f", half of them are within {_SHOWN[by](first.mad)} of it"
    out.print(norm, soft_wrap=True)
    if first.items < ENOUGH:
        out.print(f"fewer than {ENOUGH} items: the scores say little yet", style="yellow")
    if not found:
        out.print(f"no outlier: {_highest(first, by)}, below {threshold:g}", soft_wrap=True)
        return
    out.print()
    table(out, found)


def _nothing(by: Measure) -> str:
    return {"cost": "cost anything", "tokens": "used tokens", "calls": "made a call"}.get(
        by, "begun"
    )


def _highest(first: OutlierRow, by: Measure) -> str:
    score = NONE if first.score is None else f"{first.score:.1f}"
    return (
        f"the highest is {show.short(first.key)} with {_SHOWN[by](first.value)}, a score of {score}"
    )


def table(out: Console, found: Sequence[OutlierRow]) -> None:
    """Print outliers, the largest first."""
    show.grid(out, COLUMNS, [line(one) for one in found])


def line(one: OutlierRow) -> tuple[show.Cell, ...]:
    """Show an outlier as a line of the table."""
    score = NONE if one.score is None else f"{one.score:,.1f}"
    names = show.name(one.key), show.name(one.tenant), show.word(one.state)
    cost, time = show.money(one.cost_nusd), show.seconds(one.seconds)
    return score, Text(str(one.id)), *names, cost, one.tokens, one.calls, time


def _advise(
    out: Console, run: str, by: Measure, found: Sequence[OutlierRow], open_ids: Sequence[int]
) -> None:
    name = _quoted(run)
    out.print()
    out.print(f"Look at one: papayya item {_quoted(found[0].key)}", soft_wrap=True)
    if open_ids:
        out.print(f"Stop one: papayya kill {open_ids[0]}", soft_wrap=True)
        every = f"papayya outliers {name} --by {by} --kill"
        out.print(f"Stop all {len(open_ids):,} that are open: {every}", soft_wrap=True)
    out.print("Cap each item: @agent(max_item_usd=…), or PAPAYYA_MAX_ITEM_USD", soft_wrap=True)


def _kill(
    out: Console, connection: reads.Connection, run: str, ids: Sequence[int], *, yes: bool
) -> None:
    if not ids:
        out.print("nothing to stop: none of them is open")
        return
    what = show.count(len(ids), "open outlier")
    if not yes:
        click.confirm(f"\nEnd {what} for good?", abort=True)
    killed = acts.cancel(connection, run, STOPPED, ids)
    out.print(
        f"{show.count(killed, 'item')} cancelled; work in flight stops at its next step or call"
    )


def _quoted(name: str) -> str:
    return shlex.quote(show.safe(name))
