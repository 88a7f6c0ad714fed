"""`papayya runs` and `papayya run`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click
from rich.console import Console
from rich.text import Text

from papayya_core.audit import Lost
from papayya_core.cli import callwords, documents, show
from papayya_core.cli.redacting import redacted, redactor
from papayya_core.cli.state import NAME, Cli, Command, pass_cli
from papayya_core.store import reads
from papayya_core.store.reads import BudgetRow, Cluster, Parking, RunRow, TenantRow

CLUSTERS = 20
SHOWN_LOST = 10
COLUMNS = ("RUN", "STATE", ">ITEMS", ">DONE", ">FLAGGED", ">OPEN", ">COST", "STARTED")
TENANT_COLUMNS = (
    "TENANT",
    "STATE",
    ">ITEMS",
    ">DONE",
    ">FLAGGED",
    ">SUCCESS-RATE",
    ">OPEN",
    ">COST",
)


@click.command("runs", cls=Command)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--label", type=NAME, help="Only runs with this label.")
@documents.json_option
@pass_cli
def runs(cli: Cli, limit: int, label: str | None, as_json: bool) -> None:
    """List the newest runs: how far they are, how well they went, what they cost.

    DONE: completed and ok. FLAGGED: degraded or failed, somebody should look. OPEN: not ended.
    """
    found = reads.list_runs(cli.connection, label=label, limit=limit + 1)
    shown = found[:limit]
    if as_json:
        documents.emit({"runs": shown, "more": len(found) > limit})
        return
    out = show.console()
    if not shown:
        out.print("no runs yet" if label is None else "no runs with this label")
        return
    columns = (*COLUMNS, "LABEL") if any(run.label for run in shown) else COLUMNS
    show.grid(out, columns, [_line(run)[: len(columns)] for run in shown])
    if len(found) > limit:
        out.print(f"older ones are not shown; --limit {limit * 5} shows more", style="dim")


def _line(run: RunRow) -> tuple[show.Cell, ...]:
    counts = (run.items, run.done, run.flagged, run.open)
    cost, began = callwords.sum_of(run.cost_nusd, run), show.moment(run.created_at)
    return show.name(run.run), show.word(run.state), *counts, cost, began, run.label or ""


def tenant_document(one: TenantRow) -> dict[str, object]:
    """Shape a tenant for --json."""
    rate = None if one.success_rate is None else round(one.success_rate, 6)
    return {**documents.shape(one), "success_rate": rate}


def tenant_table(out: Console, found: list[TenantRow]) -> None:
    """Print tenants."""
    show.grid(
        out,
        TENANT_COLUMNS,
        [
            (show.name(t.tenant), show.word("paused") if t.paused_at else "", t.items, t.done, t.flagged, show.rate(t.success_rate), t.open,
             callwords.sum_of(t.cost_nusd, t))
            for t in found
        ],
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that one run's page shows."""

    run: RunRow
    tenants: list[TenantRow]
    budgets: list[BudgetRow]
    parking: list[Parking]
    clusters: list[Cluster]
    lost: list[Lost]


@click.command("run", cls=Command)
@click.argument("name", metavar="RUN", type=NAME)
@documents.json_option
@pass_cli
def run(cli: Cli, name: str, as_json: bool) -> None:
    """Show one run: states, tenants, budget, what was found, what was lost, how to go on."""
    page = redacted(_read(cli.connection, name), redactor(cli))
    if as_json:
        _emit(page)
        return
    out = show.console()
    _head(out, page.run)
    _budgets(out, page.budgets)
    if page.tenants:
        out.print(Text("\nTenants", style="bold"))
        tenant_table(out, page.tenants)
    _clusters(out, page)
    _lost(out, page.lost)
    out.print()
    for line in _next(page):
        out.print(Text(line), soft_wrap=True)


def _read(connection: reads.Connection, name: str) -> Page:
    with reads.snapshot(connection):
        run_id = reads.find_run(connection, name)
        return Page(
            reads.list_runs(connection, run=run_id)[0],
            reads.list_tenants(connection, run_id),
            reads.list_budgets(connection, run_id),
            reads.list_parking(connection, run_id),
            reads.list_clusters(connection, run_id, CLUSTERS + 1),
            reads.rows(connection, "lost_deliveries", Lost, run=name),
        )


def _emit(page: Page) -> None:
    documents.emit(
        {
            **documents.shape(page.run),
            "by_tenant": [tenant_document(one) for one in page.tenants],
            "budgets": page.budgets,
            "findings": page.clusters[:CLUSTERS],
            "findings_cut": len(page.clusters) > CLUSTERS,
            "lost_deliveries": page.lost,
            "next": list(_next(page)),
        }
    )


def _head(out: Console, run: RunRow) -> None:
    label = f"  ({show.safe(run.label)})" if run.label else ""
    out.print(Text.assemble((show.safe(run.run), "bold"), label, "  ", show.word(run.state)))
    ended = f", last item ended {show.moment(run.finished_at)}" if run.finished_at else ""
    out.print(f"started {show.moment(run.created_at)}{ended}, on {show.safe(run.carrier)}")
    items = show.count(run.items, "item")
    out.print(f"{items}: {run.done:,} done, {run.flagged:,} flagged, {run.open:,} open")
    states = ("completed", "failed", "cancelled", "paused", "waiting", "running", "queued")
    parts = [f"{getattr(run, state):,} {state}" for state in states if getattr(run, state)]
    out.print("states: " + (", ".join(parts) or "none"))
    if run.expect_count is not None:
        out.print(f"expected: {run.expect_count:,}")
    if run.sealed_at is None:
        out.print("its input was not read to its end yet")
    out.print(_cost(run))


def _cost(run: RunRow) -> Text:
    calls = f", {run.tokens:,} tokens, {show.count(run.calls, 'call')}" if run.calls else ""
    return Text.assemble("cost: ", callwords.sum_in_words(run.cost_nusd, run), calls)


def _budgets(out: Console, budgets: list[BudgetRow]) -> None:
    for budget in budgets:
        whose = "" if budget.agent is None else f" of {show.safe(budget.agent)}"
        left = budget.limit_nusd - budget.spent_nusd
        parts = f"{show.money(budget.spent_nusd)} of {show.money(budget.limit_nusd)} spent"
        rest = f"over by {show.money(-left)}" if left < 0 else f"{show.money(left)} left"
        out.print(f"budget{whose}: {parts}, {rest}")


def _clusters(out: Console, page: Page) -> None:
    if not page.clusters:
        return
    out.print(Text("\nFindings", style="bold"))
    lines = [
        (show.word(c.severity), c.check, c.items, show.short(c.reason, 80), show.name(c.sample_key))
        for c in page.clusters[:CLUSTERS]
    ]
    show.grid(out, ("SEVERITY", "CHECK", ">ITEMS", "FOR EXAMPLE", "KEY"), lines)
    if len(page.clusters) > CLUSTERS:
        out.print(f"only the first {CLUSTERS} kinds are shown", style="dim")


def _lost(out: Console, lost: list[Lost]) -> None:
    if not lost:
        return
    out.print(Text(f"\n{show.count(len(lost), 'lost delivery', 'lost deliveries')}", style="bold"))
    lines = [
        (show.name(one.key), show.name(one.tenant), show.moment(one.ended_at), one.locked_by)
        for one in lost
    ]
    show.grid(out, ("KEY", "TENANT", "LOST", "WORKER"), lines[:SHOWN_LOST])
    if len(lost) > SHOWN_LOST:
        out.print("papayya audit names them all", style="dim")


def _next(page: Page) -> Iterator[str]:
    for one in page.tenants:
        if one.paused_at is not None and one.open:
            tenant = shlex.quote(show.safe(one.tenant))
            yield f"Tenant {tenant} is paused; go on with: papayya resume --tenant {tenant}"
    yield from next_steps(page.run, page.parking)


def next_steps(run: RunRow, parking: Sequence[Parking] = ()) -> Iterator[str]:
    """Say how to go on with a run."""
    name = shlex.quote(show.safe(run.run))
    if run.draining:
        yield f"It is draining and starts nothing new; go on with: papayya drain {name} --off"
    if run.paused_at is not None:
        yield f"It is paused and starts nothing new; go on with: papayya resume {name}"
    if run.open and run.carrier == "plain":
        yield f"Go on with its {show.count(run.open, 'open item')}: PAPAYYA_RUN_ID={name} <your command>"
    elif run.open:
        yield f"Its {show.count(run.open, 'open item')}: sent by {show.safe(run.carrier)}"
    for one in parking:
        yield (
            f"{show.count(one.items, 'item')} parked by {show.safe(one.budget)}: `papayya budget set`"
            " raises it, `papayya budget` shows what holds it"
        )
    if run.paused > sum(one.items for one in parking):
        why = f"papayya items --run {name} --state paused shows why"
        yield f"Paused: {why}; papayya resume {name} lets them go on"
    if run.flagged:
        yield f"What needs a look: papayya items --run {name} --flagged"
    if run.failed:
        yield f"Queue what failed again: papayya retry {name}"
    yield from _unknown_cost(run, name)


def _unknown_cost(run: RunRow, name: str) -> Iterator[str]:
    if run.uncertain_calls:
        yield f"What calls may have cost: papayya calls --run {name} --uncertain"
    if run.unpriced_calls:
        yield f"What has no price yet: papayya calls --run {name} --unpriced"
