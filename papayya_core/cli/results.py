"""`papayya results`: the outputs of a run, streamed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import click
from rich.text import Text

from papayya_core.cli import callwords, documents, show
from papayya_core.cli.documents import AsIs
from papayya_core.cli.item import finding_document
from papayya_core.cli.items import STATES, narrow
from papayya_core.cli.state import NAME, Cli, Command, pass_cli
from papayya_core.store import details
from papayya_core.store.details import Result, stream_results
from papayya_core.store.reads import find_run

PREVIEW = 2000


@click.command("results", cls=Command)
@click.argument("name", metavar="RUN", type=NAME)
@click.option("--tenant", type=NAME, help="Only the items of this tenant.")
@click.option("--state", type=STATES, help="Only items in this state.")
@documents.jsonl_option
@pass_cli
def results(cli: Cli, /, name: str, as_json: bool, jsonl: bool, **wanted: Any) -> None:
    """Give the outputs of a run back, in the order the items were recorded.

    Every item of the run is listed, with or without an output; --state completed leaves the
    others out. Any number of items is streamed in little memory. Outputs are exact, for programs to
    go on with: nothing is redacted in them.
    """
    connection = cli.connection
    chosen = narrow(connection, **wanted)
    run = find_run(connection, name)
    with closing(stream_results(connection, run, chosen.tenant, chosen.state)) as stream:
        if jsonl:
            for one in stream:
                documents.emit_line(_document(one))
        elif as_json:
            documents.emit_stream({"run": name}, "results", map(_document, stream))
        else:
            _print(stream)


def _document(one: Result) -> dict[str, Any]:
    row = one.row
    return {
        "key": row.key,
        "tenant": row.tenant,
        "agent": row.agent,
        "state": row.state,
        "outcome": row.outcome,
        "reason": row.reason,
        "output": AsIs(row.output),
        "output_stored": row.has_output,
        "cost_nusd": row.cost_nusd,
        "tokens": row.tokens,
        "uncertain_calls": row.uncertain_calls,
        "uncertain_nusd": row.uncertain_nusd,
        "unbounded_calls": row.unbounded_calls,
        "unpriced_calls": row.unpriced_calls,
        "findings": [finding_document(finding) for finding in one.findings],
    }


def _print(stream: Iterator[Result]) -> None:
    out = show.console()
    empty = True
    for one in stream:
        empty = False
        row = one.row
        outcome: list[Any] = [" ", show.word(row.outcome)] if row.outcome else []
        head = (show.safe(row.key), "bold"), f"  {show.safe(row.tenant)}  ", show.word(row.state)
        out.print(Text.assemble(*head, *outcome, "  ", callwords.sum_of(row.cost_nusd, row)))
        if row.has_output:
            text = show.compact(details.shown(row.output_codec, row.output_body))
            more = f" … ({len(text):,} characters: --jsonl has all)" if len(text) > PREVIEW else ""
            out.print(Text(f"  {text[:PREVIEW]}{more}"), soft_wrap=True)
        for finding in one.findings:
            out.print(
                Text(f"  {show.safe(finding.check)}: {show.safe(finding.reason)}", style="dim")
            )
    if empty:
        out.print("no such items")
