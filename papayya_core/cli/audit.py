"""`papayya audit`: prove that nothing was dropped and every cent is there, or name what is not."""

from __future__ import annotations

import click
from rich.console import Console
from rich.text import Text

from papayya_core.audit import STATES, Audit, Count, as_document
from papayya_core.audit import audit as make_audit
from papayya_core.cli import callwords, documents, show
from papayya_core.cli.state import NAME, Cli, Command, pass_cli
from papayya_core.store.money import Sides

SHOWN = 50
ALWAYS = ("completed", "failed")


@click.command("audit", cls=Command)
@click.argument("name", metavar="RUN", type=NAME)
@documents.json_option
@click.pass_context
@pass_cli
def audit(cli: Cli, ctx: click.Context, name: str, as_json: bool) -> None:
    """Prove that nothing was dropped: what was submitted equals what is there, by state.

    \b
    submitted = completed + failed + cancelled + paused + waiting + running + queued

    The left side was counted at entry and is not derived from the items; whatever the two sides
    do not explain is named by its key. What it cost is held together likewise: the calls and what
    steps reported, the items, and what was booked for run and tenant are equal to the nano-dollar.
    Exit code 0: everything is explained (items may still be open); 1: something is not.
    """
    report = make_audit(cli.connection, name)
    if as_json:
        documents.emit(as_document(report))
    else:
        _print(show.console(), report)
    if not report.explained:
        ctx.exit(1)


def _print(out: Console, report: Audit) -> None:
    sealed = "sealed" if report.sealed else "not sealed"
    out.print(Text.assemble((show.safe(report.run), "bold"), f"  {sealed}"))
    if report.expected is not None:
        out.print(f"expected: {report.expected:,}, submitted: {report.totals.submitted:,}")
    _law(out, report)
    _money(out, report)
    _unexplained(out, report)
    _lost(out, report)
    if report.awaited:
        shown = ", ".join(show.short(key) for key in report.awaited[:5])
        more = f" and {len(report.awaited) - 5:,} more" if len(report.awaited) > 5 else ""  # noqa: PLR2004
        out.print(f"expected, not submitted yet: {shown}{more}")
    if report.totals.open:
        out.print(f"{show.count(report.totals.open, 'item is', 'items are')} still open")
    dropped = (
        report.dropped_text if report.dropped is not None else f"dropped: {report.dropped_text}"
    )
    out.print(Text(dropped, style="bold" if report.explained else "bold red"))


def _law(out: Console, report: Audit) -> None:
    """Show both sides; states that no item is in are left out."""
    total = report.totals
    states = [state for state in STATES if state in ALWAYS or getattr(total, state)]
    paid = {one.tenant: one for one in report.money}
    lines = [
        _line(Text(show.short(tenant, show.NAME_WIDTH)), count, states, paid.get(tenant))
        for tenant, count in report.tenants.items()
    ]
    columns = ["TENANT", ">SUBMITTED", *(f">{state.upper()}" for state in states), ">COST"]
    last = _line(Text("all", style="bold"), total, states, report.sides)
    show.grid(out, columns, [*lines, last])


def _line(tenant: Text, count: Count, states: list[str], sides: Sides | None) -> list[show.Cell]:
    numbers = [getattr(count, state) for state in states]
    cost = callwords.sum_of(count.cost_nusd, sides) if sides else show.money(count.cost_nusd)
    return [tenant, count.submitted, *numbers, cost]


def _money(out: Console, report: Audit) -> None:
    """Show the sides of the money that calls and reports have."""
    sides = report.sides
    seen = sides.calls or sides.pending_calls or sides.replayed_calls
    if not seen and not sides.reported_nusd and not sides.calls_nusd:
        return
    calls = f"{show.money(sides.calls_nusd)} of {show.count(sides.calls, 'call')}"
    parts = f"{calls} + {show.money(sides.reported_nusd)} reported"
    out.print(f"money: {parts} = {show.money(sides.calls_nusd + sides.reported_nusd)}")
    out.print(
        f"       its items: {show.money(sides.items_nusd)},"
        f" booked for run and tenants: {show.money(sides.spend_nusd)}"
    )
    for part in callwords.doubts(sides):
        out.print(Text(f"       not known: {part}", style=callwords.LOUD))
    if sides.pending_calls:
        out.print(f"       {show.count(sides.pending_calls, 'call')} under way")
    if sides.replayed_calls:
        saved = f"saved {show.money(sides.saved_nusd)}"
        out.print(f"       {show.count(sides.replayed_calls, 'call')} replayed, which {saved}")


def _unexplained(out: Console, report: Audit) -> None:
    if not report.unexplained:
        return
    out.print(Text(f"\n{len(report.unexplained):,} unexplained", style="bold red"))
    lines = [
        (one.kind, show.name(one.tenant), show.name(one.key), one.detail)
        for one in report.unexplained[:SHOWN]
    ]
    show.grid(out, ("KIND", "TENANT", "KEY", "WHY"), lines)
    _more(out, len(report.unexplained))


def _lost(out: Console, report: Audit) -> None:
    if not report.lost:
        return
    number = show.count(len(report.lost), "delivery", "deliveries")
    why = "had no end; what they had in flight may have been paid once more"
    out.print(Text.assemble((f"\n{number}", "bold"), f" {why}"))
    lines = [
        (
            show.name(one.key),
            show.name(one.tenant),
            show.moment(one.started_at),
            show.moment(one.ended_at),
            one.locked_by,
        )
        for one in report.lost[:SHOWN]
    ]
    show.grid(out, ("KEY", "TENANT", "FROM", "LOST", "WORKER"), lines)
    _more(out, len(report.lost))


def _more(out: Console, number: int) -> None:
    if number > SHOWN:
        out.print(f"… and {number - SHOWN:,} more: --json names them all", style="dim")
    out.print()
