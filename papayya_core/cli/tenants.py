"""`papayya tenants`: who spends, who waits and who is starved, live; and their weights."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any

import click
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from papayya_core.cli import callwords, documents, show
from papayya_core.cli.runs import tenant_document, tenant_table
from papayya_core.cli.state import NAME, Cli, Command, Section, pass_cli
from papayya_core.store import reads, tenants
from papayya_core.store.tenants import TenantNow

EVERY = 2.0  # seconds
_HEAVIEST = Decimal(1000)
COLUMNS = (
    *("TENANT", "STATE", ">SPENT", ">HELD", ">LEFT", ">SUCCESS-RATE", ">QUEUED", ">RUNNING"),
    *(">WAITING", ">PAUSED", ">THROTTLED", ">P95-WAIT", ">WEIGHT"),
)


class Weight(click.ParamType[Any]):
    """A share: 1 is everybody's, 2 twice as much."""

    name = "weight"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Say what is wrong as wrong usage."""
        try:
            weight = Decimal(str(value))
        except InvalidOperation:
            weight = Decimal(0)
        if not weight.is_finite() or not 1 / _HEAVIEST <= weight <= _HEAVIEST:
            self.fail(f"a weight is 0.001 to {_HEAVIEST}, not {value!r}", param, ctx)
        return weight


@click.group("tenants", cls=Section, invoke_without_command=True)
@click.option("--run", type=NAME, help="What came of this run, by tenant.")
@click.option("--watch", is_flag=True, help="Show it anew every 2 seconds, until Ctrl-C.")
@documents.json_option
@pass_cli
@click.pass_context
def tenants_(ctx: click.Context, cli: Cli, /, run: str | None, watch: bool, as_json: bool) -> None:
    """Show the tenants as they are now: money, items, and who waits.

    LEFT: under the tightest of the tenant's own budgets in dollars. SUCCESS-RATE: the share of ok
    among the items that ended in the last day; with --run, among its items. THROTTLED: items that
    wait for a rate limit. P95-WAIT: 95 of 100 items of the last day waited for limits no longer
    than this. A tenant is starved when it waits for a minute at a limit that lets others in.
    """
    if ctx.invoked_subcommand is not None:
        return
    if watch and (run is not None or as_json):
        raise click.UsageError(
            "--watch shows the tenants as they are now: without --run and --json"
        )
    connection = cli.connection
    if run is not None:
        _of_run(connection, run, as_json)
    elif watch:
        _watch(connection)
    elif as_json:
        documents.emit(
            {"run": None, "tenants": list(map(_document, tenants.tenants_now(connection)))}
        )
    else:
        show.console().print(page(tenants.tenants_now(connection)))


def _of_run(connection: reads.Connection, run: str, as_json: bool) -> None:
    found = reads.list_tenants(connection, reads.find_run(connection, run))
    if as_json:
        documents.emit({"run": run, "tenants": [tenant_document(one) for one in found]})
    elif found:
        tenant_table(show.console(), found)
    else:
        show.console().print("no items yet")


def _document(one: TenantNow) -> dict[str, Any]:
    rate = None if one.success_rate is None else round(one.success_rate, 6)
    return {**documents.shape(one), "weight": f"{one.weight:f}", "success_rate": rate}


def page(found: Sequence[TenantNow]) -> RenderableType:
    """Draw the tenants; columns that say nothing of anybody are left out."""
    if not found:
        return Text("no items yet")
    plain = all(one.weight == 1 for one in found)
    columns = COLUMNS[:-1] if plain else COLUMNS
    lines = [_line(one)[: len(columns)] for one in found]
    return show.laid_out(show.console(), columns, lines)


def _line(one: TenantNow) -> tuple[show.Cell, ...]:
    over = one.left_nusd is not None and one.left_nusd <= 0
    left = Text(_money(one.left_nusd), style="bold yellow" if over else "")
    return (
        show.name(one.tenant),
        show.word(state(one)) if state(one) else "",
        callwords.sum_of(one.cost_nusd, one),
        show.money(one.held_nusd),
        left,
        show.rate(one.success_rate),
        *(one.queued, one.running, one.waiting, one.paused, one.throttled),
        show.seconds(one.p95_wait),
        f"{one.weight.normalize():f}",
    )


def _money(nusd: int | None) -> str:
    return f"-{show.money(-nusd)}" if nusd is not None and nusd < 0 else show.money(nusd)


def state(one: TenantNow) -> str:
    """Say in a word what is to be known of a tenant."""
    if one.paused_at is not None:
        return "paused"
    return "starved" if one.starved else "throttled" if one.throttled else ""


def _watch(connection: reads.Connection) -> None:
    """Draw the tenants again and again; Ctrl-C ends it, and is no failure."""
    out = show.console()
    with suppress(KeyboardInterrupt), Live(console=out, auto_refresh=False) as live:
        while True:
            drawn = page(tenants.tenants_now(connection))
            if out.is_terminal:
                live.update(drawn, refresh=True)
            else:
                out.print(drawn)
                out.file.flush()
            time.sleep(EVERY)


@tenants_.command("set", cls=Command)
@click.argument("tenant", type=NAME)
@click.option("--weight", type=Weight(), required=True, help="Its share of limits; 1 is usual.")
@documents.json_option
@pass_cli
def set_(cli: Cli, /, tenant: str, weight: Decimal, as_json: bool) -> None:
    """Set TENANT's weight: of a limit that several wait for, 2 gets twice what 1 gets."""
    before = tenants.set_weight(cli.first_connection, tenant, weight)
    changed = before != weight
    said = f"tenant {tenant} has the weight {weight:f}"
    if not changed:
        said = f"nothing to do: {said} already"
    elif before is None:
        said += "; it is new: no item of it was seen yet"
    else:
        said += f" from now on, {before.normalize():f} before"
    facts = {"act": "set", "tenant": tenant, "weight": f"{weight:f}"}
    documents.report(as_json, {**facts, "changed": int(changed), "said": said})
