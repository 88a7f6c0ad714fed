"""`papayya item`: everything about one item."""

from __future__ import annotations

from typing import Any

import click

from papayya_core.cli import calltext, documents, itempage, show
from papayya_core.cli.calltext import Reader, Said
from papayya_core.cli.documents import AsIs
from papayya_core.cli.itempage import Cuts, Page
from papayya_core.cli.items import narrow, table
from papayya_core.cli.redacting import redacted, redactor
from papayya_core.cli.state import NAME, Cli, Command, pass_cli
from papayya_core.plugins import Plugins
from papayya_core.store import callviews, details, reads
from papayya_core.store.callviews import CallFilter, CallRow
from papayya_core.store.details import FindingView, StepView
from papayya_core.store.reads import ItemRow, UnknownName


@click.command("item", cls=Command)
@click.argument("key", type=NAME)
@click.option("--run", type=NAME, help="Only in this run.")
@click.option("--tenant", type=NAME, help="Only of this tenant.")
@click.option("--agent", type=NAME, help="Only of this agent.")
@click.option(
    "--steps", type=click.IntRange(0), default=200, show_default=True, help="How many, and calls."
)
@click.option(
    "--calls",
    "texts",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="Of how many calls the text is shown; --json has that of all.",
)
@documents.json_option
@pass_cli
def item(cli: Cli, /, key: str, steps: int, texts: int, as_json: bool, **wanted: Any) -> None:
    """Show everything about one item, found by its KEY over all runs.

    State, outcome, findings with their evidence, input, output, deliveries, and the waterfall of
    its steps and of the calls inside them: tokens, cost, time, and what was said. The cost of a
    step is what it reported and what its calls cost, without steps inside it. `KEY#2` is the second
    item of one key: the same key was submitted with another input. Of several items the newest is
    shown in full.
    """
    connection, cuts, plugins = cli.connection, Cuts(steps, texts), Plugins(cli.settings.plugins)
    clean = redactor(cli, plugins)
    reader = Reader(connection, plugins, clean)
    with reads.snapshot(connection):
        found, others = reads.items_of_key(connection, key, narrow(connection, **wanted))
        if not found:
            raise UnknownName(_hint(connection, key, others, wanted["run"]))
        page = redacted(_read(connection, reader, found[0], cuts, every_text=as_json), clean)
    if as_json:
        documents.emit({**_document(page, cuts), "others": [*found[1:], *others]})
        return
    out = show.console()
    if len(found) > 1:
        out.print(f"{len(found)} items have this key; the newest is shown in full below")
        table(out, found, runs=True)
        out.print()
    itempage.print_page(out, page, cuts)
    if others:
        keys = ", ".join(sorted({show.short(one.key) for one in others}))
        out.print(f"\nThe same key with other inputs: {keys}")


def _hint(connection: reads.Connection, key: str, others: list[ItemRow], run: str | None) -> str:
    near = sorted({one.key for one in others}) or reads.near_keys(connection, key)
    where = "" if run is None else f" in run {run!r}"
    if near and near != [key]:
        return f"no item {key!r}{where}; there is {', '.join(map(repr, near[:5]))}"
    if near:
        return f"no item {key!r}{where}; papayya item shows where else it is, without --run"
    return f"no item {key!r}{where}; papayya items lists keys, newest first"


def _read(
    connection: reads.Connection, reader: Reader, row: ItemRow, cuts: Cuts, *, every_text: bool
) -> Page:
    wanted = CallFilter(items=[row.id], oldest=True)
    calls = callviews.list_calls(connection, wanted, cuts.calls + 1)
    said = reader.read(calls if every_text or cuts.texts else [])
    return Page(
        row,
        details.item_facts(connection, row.id),
        details.list_steps(connection, row.id, cuts.steps + 1),
        calls,
        said,
        calltext.trace(calls, said),
        details.list_dispatches(connection, row.id),
        details.list_findings(connection, [row.id]),
    )


def _document(page: Page, cuts: Cuts) -> dict[str, Any]:
    facts = page.facts
    return {
        **documents.shape(page.item),
        "version": facts.version,
        "model": facts.model,
        "parent_key": facts.parent_key,
        "replay_of": facts.replay_of_key,
        "findings": [finding_document(one) for one in page.findings],
        "input_stored": facts.has_input,
        "input": AsIs(facts.input),
        "output_stored": facts.has_output,
        "output": AsIs(facts.output),
        "steps": page.item.steps,
        "checkpoints": [_step_document(one) for one in page.steps[: cuts.steps]],
        "checkpoints_cut": len(page.steps) > cuts.steps,
        "calls": page.item.calls,
        "exchanges": [
            call_document(one, page.said.get(one.id)) for one in page.calls[: cuts.calls]
        ],
        "exchanges_cut": len(page.calls) > cuts.calls,
        "tool_trace": page.uses,
        "dispatches": page.dispatches,
    }


def finding_document(one: FindingView) -> dict[str, Any]:
    """Shape a finding for --json."""
    shaped: dict[str, Any] = documents.shape(one)
    del shaped["item_id"]
    return shaped | {"evidence": AsIs(one.evidence)}


def call_document(one: CallRow, said: Said | None = None) -> dict[str, Any]:
    """Shape a call for --json, with what it said if that was read."""
    shaped: dict[str, Any] = documents.shape(one)
    if said is None:
        return shaped
    text: dict[str, Any] = documents.shape(said)
    return shaped | {"said": text | {"asked": AsIs(said.asked), "answer": AsIs(said.answer)}}


def _step_document(one: StepView) -> dict[str, Any]:
    shaped: dict[str, Any] = documents.shape(one)
    for name in ("result_text", "result_codec", "result_body"):
        del shaped[name]
    return shaped | {"result": AsIs(one.result), "error": AsIs(one.error)}
