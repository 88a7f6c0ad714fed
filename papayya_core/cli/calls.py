"""`papayya calls`: lists of calls with what they come to."""

from __future__ import annotations

from typing import Any, get_args

import click
from rich.console import Console
from rich.text import Text

from papayya_core.call import CallState
from papayya_core.cli import callwords, documents, show
from papayya_core.cli.state import NAME, Cli, Command, pass_cli
from papayya_core.store import callviews, reads
from papayya_core.store.callviews import CallFilter, CallRow, CallSums
from papayya_core.store.reads import ItemFilter, UnknownName

COLUMNS = (">CALL", "ITEM", ">STEP", "MODEL", "STATE", "TOKENS", ">COST", ">TIME", "WHEN", "NOTES")


@click.command("calls", cls=Command)
@click.option("--run", type=NAME, help="Only the calls of this run.")
@click.option("--tenant", type=NAME, help="Only the calls of this tenant.")
@click.option("--item", "key", type=NAME, metavar="KEY", help="Only the calls of this item.")
@click.option("--model", type=NAME, help="Only of this model, tool or retriever.")
@click.option("--state", type=click.Choice(get_args(CallState)), help="Only in this state.")
@click.option("--uncertain", is_flag=True, help="Only what may have cost more than it says.")
@click.option("--unpriced", is_flag=True, help="Only what nobody knows a price for.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@click.option("--after", type=int, metavar="ID", help="Go on after this call (see the last line).")
@documents.jsonl_option
@pass_cli
def calls(cli: Cli, /, limit: int, as_json: bool, jsonl: bool, **wanted: Any) -> None:
    """List calls to models, tools and retrievers, newest first, and what they come to.

    Below the list are the sums of all that the options let through, whatever the limit. What a
    killed worker or a timeout left open is `uncertain`: it may have cost up to what was held for
    it, until you look at your provider's ledger and say so with `papayya reconcile`.
    """
    connection = cli.connection
    with reads.snapshot(connection):
        chosen = _chosen(connection, **wanted)
        found = callviews.list_calls(connection, chosen, limit + 1)
        sums = None if jsonl else callviews.sum_calls(connection, chosen)
    shown, cut = _clean(cli, found[:limit]), len(found) > limit
    more = _more(wanted, limit, shown[-1].id) if cut else None
    if jsonl:
        documents.emit_lines(shown, more)
    elif as_json:
        next_one = shown[-1].id if cut else None
        documents.emit({"calls": shown, "next": next_one, "sums": sums})
    elif sums is not None:
        _print(show.console(), shown, sums, more)


def _clean(cli: Cli, found: list[CallRow]) -> list[CallRow]:
    """Take out of what providers and tools complained of what people must not see."""
    if not any(one.error for one in found):
        return found
    from papayya_core.cli.redacting import redacted, redactor

    return redacted(found, redactor(cli))


def _chosen(connection: reads.Connection, /, **wanted: Any) -> CallFilter:
    run, tenant, key = (wanted.pop(name) for name in ("run", "tenant", "key"))
    run = None if run is None else reads.find_run(connection, run)
    tenant = None if tenant is None else reads.find_tenant(connection, tenant)
    if key is None:
        return CallFilter(run=run, tenant=tenant, **wanted)
    found, others = reads.items_of_key(connection, key, ItemFilter(run=run, tenant=tenant))
    if not found:
        near = [one.key for one in others] or reads.near_keys(connection, key)
        hint = f"there is {', '.join(map(repr, near[:5]))}" if near else "papayya items lists keys"
        raise UnknownName(f"no item {key!r}; {hint}")
    return CallFilter(run=run, tenant=tenant, items=[one.id for one in found], **wanted)


def _more(wanted: dict[str, Any], limit: int, last: int) -> str:
    options = {"item" if name == "key" else name: value for name, value in wanted.items()}
    return show.go_on("papayya calls", {**options, "limit": limit, "after": last})


def _print(out: Console, shown: list[CallRow], sums: CallSums, more: str | None) -> None:
    if not shown:
        out.print("no such calls")
        return
    show.grid(out, COLUMNS, map(_line, shown))
    if more:
        out.print(more, style="dim", soft_wrap=True)
    out.print()
    for line in _sums(sums):
        out.print(line)


def _line(one: CallRow) -> tuple[show.Cell, ...]:
    kind = "" if one.kind == "llm" else f" ({one.kind})"
    used = callwords.tokens(one.tokens, estimated=one.estimated)
    notes = ", ".join(filter(None, (callwords.notes(one), show.short(one.error or ""))))
    return (
        str(one.id),
        show.name(one.item),
        one.n,
        f"{callwords.model(one)}{kind}",
        callwords.state(one),
        used,
        callwords.cost(one),
        show.seconds(one.seconds),
        show.moment(one.started_at),
        notes,
    )


def _sums(sums: CallSums) -> list[Text]:
    counted = [show.count(sums.calls, "call")]
    counted += [f"{sums.pending_calls:,} under way"] if sums.pending_calls else []
    saved = f"{sums.replayed_calls:,} replayed, which saved {show.money(sums.saved_nusd)}"
    counted += [saved] if sums.replayed_calls else []
    lines = [Text(", ".join(counted)), Text(f"tokens: {callwords.tokens(sums.tokens)}")]
    lines.append(Text.assemble("cost: ", callwords.sum_in_words(sums.cost_nusd, sums)))
    if sums.uncertain_calls:
        said = "what is uncertain ends by: papayya reconcile CALL --usd AMOUNT (or --not-billed)"
        lines.append(Text(said, style="dim"))
    if sums.unpriced_calls:
        lines.append(
            Text(
                "what is unpriced ends by papayya reconcile; later calls get a price by papayya prices set",
                style="dim",
            )
        )
    return lines
