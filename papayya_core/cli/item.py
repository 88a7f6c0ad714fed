"""`papayya item`: everything about one item."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from papayya_core import owner
from papayya_core.cli import documents, show
from papayya_core.cli.documents import AsIs
from papayya_core.cli.items import narrow, table
from papayya_core.cli.state import NAME, Cli, Command, pass_cli
from papayya_core.store import details, reads
from papayya_core.store.details import DispatchView, FindingView, ItemFacts, StepView
from papayya_core.store.reads import ItemRow, UnknownName

LINES = 60
CHARACTERS = 6000
STEP_COLUMNS = (">N", "STEP", "KIND", "STATE", ">TRIES", ">COST", ">TIME", "RESULT")


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that one item's page shows."""

    item: ItemRow
    facts: ItemFacts
    steps: list[StepView]
    dispatches: list[DispatchView]
    findings: list[FindingView]


@click.command("item", cls=Command)
@click.argument("key", type=NAME)
@click.option("--run", type=NAME, help="Only in this run.")
@click.option("--tenant", type=NAME, help="Only of this tenant.")
@click.option("--agent", type=NAME, help="Only of this agent.")
@click.option("--steps", type=click.IntRange(0), default=200, show_default=True, help="How many.")
@documents.json_option
@pass_cli
def item(cli: Cli, /, key: str, steps: int, as_json: bool, **wanted: Any) -> None:
    """Show everything about one item, found by its KEY over all runs.

    State, outcome, findings with their evidence, input, output, steps and deliveries. `KEY#2` is
    the second item of one key: the same key was submitted with another input. Of several items
    the newest is shown in full.
    """
    connection = cli.connection
    with reads.snapshot(connection):
        found, others = reads.items_of_key(connection, key, narrow(connection, **wanted))
        if not found:
            raise UnknownName(_hint(connection, key, others, wanted["run"]))
        page = _read(connection, found[0], steps)
    if as_json:
        documents.emit({**_document(page, steps), "others": [*found[1:], *others]})
    else:
        _print(show.console(), page, found, others, steps)


def _hint(connection: reads.Connection, key: str, others: list[ItemRow], run: str | None) -> str:
    near = sorted({one.key for one in others}) or reads.near_keys(connection, key)
    where = "" if run is None else f" in run {run!r}"
    if near and near != [key]:
        return f"no item {key!r}{where}; there is {', '.join(map(repr, near[:5]))}"
    if near:
        return f"no item {key!r}{where}; papayya item shows where else it is, without --run"
    return f"no item {key!r}{where}; papayya items lists keys, newest first"


def _read(connection: reads.Connection, row: ItemRow, steps: int) -> Page:
    return Page(
        row,
        details.item_facts(connection, row.id),
        details.list_steps(connection, row.id, steps + 1),
        details.list_dispatches(connection, row.id),
        details.list_findings(connection, [row.id]),
    )


def _document(page: Page, steps: int) -> dict[str, Any]:
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
        "checkpoints": [_step_document(one) for one in page.steps[:steps]],
        "checkpoints_cut": len(page.steps) > steps,
        "dispatches": page.dispatches,
    }


def finding_document(one: FindingView) -> dict[str, Any]:
    """Shape a finding for --json."""
    shaped: dict[str, Any] = documents.shape(one)
    del shaped["item_id"]
    return shaped | {"evidence": AsIs(one.evidence)}


def _step_document(one: StepView) -> dict[str, Any]:
    shaped: dict[str, Any] = documents.shape(one)
    for name in ("result_text", "result_codec", "result_body"):
        del shaped[name]
    return shaped | {"result": AsIs(one.result), "error": AsIs(one.error)}


def _print(
    out: Console, page: Page, found: list[ItemRow], others: list[ItemRow], steps: int
) -> None:
    if len(found) > 1:
        out.print(f"{len(found)} items have this key; the newest is shown in full below")
        table(out, found, runs=True)
        out.print()
    for line in _head(page):
        out.print(line)
    _findings(out, page.findings)
    _body(out, "Input", page.facts.has_input, page.facts.input)
    if page.item.state == "completed":
        _body(out, "Output", page.facts.has_output, page.facts.output)
    _steps(out, page.steps, steps)
    _dispatches(out, page.dispatches)
    if others:
        keys = ", ".join(sorted({show.short(one.key) for one in others}))
        out.print(f"\nThe same key with other inputs: {keys}")


def _head(page: Page) -> Iterator[Text | str]:
    one, facts = page.item, page.facts
    outcome: list[Any] = ["  outcome ", show.word(one.outcome)] if one.outcome else []
    yield Text.assemble((show.safe(one.key), "bold"), "  ", show.word(one.state), *outcome)
    if one.reason:
        yield f"because     {show.safe(one.reason)}"
    if one.parked_at is not None and one.state == "paused":
        yield f"paused      by {one.paused_by}, since {show.moment(one.parked_at)}"
    elif one.paused_by is not None:
        yield "asked       to pause: it parks at its next step"
    yield f"run         {show.safe(one.run)}"
    yield f"tenant      {show.safe(one.tenant)}"
    version = f", version {show.safe(facts.version)}" if facts.version else ""
    yield f"agent       {show.safe(one.agent)}{version}"
    yield f"cost        {show.money(one.cost_nusd)}, {one.tokens:,} tokens"
    yield f"submitted   {show.moment(one.created_at)}"
    if one.finished_at is not None:
        took = f", {show.seconds(_took(one))} after it started" if one.started_at else ""
        yield f"ended       {show.moment(one.finished_at)}{took}"
    if one.due_at is not None:
        yield f"due         {show.moment(one.due_at)}"
    if facts.parent_key:
        yield f"inside      {show.safe(facts.parent_key)}"


def _took(one: ItemRow) -> float | None:
    if one.started_at is None or one.finished_at is None:
        return None
    return (one.finished_at - one.started_at).total_seconds()


def _findings(out: Console, findings: list[FindingView]) -> None:
    if findings:
        out.print(Text("\nFindings", style="bold"))
    for one in findings:
        where = f", step {one.n}" if one.n else ""
        history = "  (before a retry)" if one.retired_at else ""
        parts = show.word(one.severity), f"  {show.safe(one.check)}{where}: "
        out.print(Text.assemble(*parts, show.safe(one.reason), history))
        if one.evidence:
            out.print(Text(f"  {clip(show.compact(one.evidence))}", style="dim"))


def _body(out: Console, title: str, stored: bool, value: Any) -> None:
    out.print(Text(f"\n{title}", style="bold"))
    out.print(Text(clip(show.pretty(value)) if stored else "not stored"), soft_wrap=True)


def clip(text: str) -> str:
    """Cut what would fill the screen, and say so."""
    lines = text[:CHARACTERS].split("\n")
    cut = "\n".join(lines[:LINES])
    return cut if len(cut) == len(text) else f"{cut} … ({len(text):,} characters: --json has all)"


def _steps(out: Console, steps: list[StepView], limit: int) -> None:
    if not steps:
        return
    out.print(Text("\nSteps", style="bold"))
    show.grid(out, STEP_COLUMNS, map(_step, steps[:limit]))
    if len(steps) > limit:
        out.print(
            f"only the first {limit:,}: --steps {max(limit, 10) * 10} shows more", style="dim"
        )


def _step(one: StepView) -> tuple[show.Cell, ...]:
    result = one.result
    if one.state == "failed" and isinstance(one.error, dict):
        result = one.error.get("message")
    shown = "" if one.state in ("started", "unstored") else show.short(show.compact(result))
    cost, took = show.money(one.cost_nusd), show.seconds(one.seconds)
    return one.n, one.label, one.kind, show.word(one.state), one.attempts, cost, took, shown


def _dispatches(out: Console, dispatches: list[DispatchView]) -> None:
    if not dispatches:
        return
    out.print(Text("\nDeliveries", style="bold"))
    lines = [
        (
            one.fence,
            one.locked_by,
            show.moment(one.started_at),
            show.moment(one.ended_at),
            _end(one),
        )
        for one in dispatches
    ]
    show.grid(out, (">FENCE", "WORKER", "FROM", "TO", "END"), lines)


def _end(one: DispatchView) -> show.Cell:
    if one.ending is not None:
        return show.word(one.ending)
    if owner.is_dead(one.locked_by):
        return "its process is dead; the pump puts the item back"
    if not one.live:
        return "its lease has run out; the pump puts the item back"
    return f"at work; its lease lasts until {show.moment(one.locked_until)}"
