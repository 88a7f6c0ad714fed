"""`papayya kill`, also called `papayya cancel`: ends open items for good, those at work too."""

from __future__ import annotations

import re
import shlex
from typing import Any, NamedTuple

import click

from papayya_core.cli import documents, show
from papayya_core.cli.act import Ambiguous, choose, next_step, one_run
from papayya_core.cli.state import NAME, Cli, Command, pass_cli
from papayya_core.contract import ENDED
from papayya_core.store import acts, outliers, reads
from papayya_core.store.outliers import Whose
from papayya_core.store.reads import Connection, UnknownName

BY_HAND = "cancelled by hand"
_LARGEST_ID = 2**63
_ID = re.compile(r"[1-9][0-9]*")


class Said(NamedTuple):
    """What was done: how many items were ended now, whose, and how that is said."""

    run: str | None
    changed: int
    said: str


@click.command("kill", cls=Command)
@click.argument("name", metavar="[RUN|ID]", type=NAME, required=False)
@click.option("--item", "key", metavar="KEY", type=NAME, help="Only this item of RUN.")
@click.option("--id", "number", type=click.IntRange(1), help="Only the item with this ID.")
@click.option("--run", type=NAME, help="The same as RUN.")
@click.option("--tenant", type=NAME, help="Only this tenant's items, of RUN or of all runs.")
@click.option("--agent", type=NAME, help="Whose item, when several agents have this key.")
@click.option("--reason", type=NAME, default=BY_HAND, show_default=True, help="Why.")
@documents.json_option
@pass_cli
def kill(cli: Cli, /, reason: str, as_json: bool, **what: Any) -> None:
    """End the open items of RUN for good, and what is submitted to it later; or one item.

    An item is named by the ID that `papayya outliers` shows, or by RUN and --item KEY. With
    --tenant: what a tenant has open now.

    Work in flight stops at its next step or call; an answer that is on its way is still recorded,
    as it is paid. What waits or is queued never begins. What has ended stays as it is. Repeating it
    is harmless; a killed item cannot be retried.
    """
    connection = cli.connection
    did = _do(connection, what, reason)
    then = "papayya runs shows what is open."
    if did.run is not None:
        [row] = reads.list_runs(connection, run=reads.find_run(connection, did.run), limit=1)
        then = next_step(row)
    documents.report(as_json, {"act": "kill", **did._asdict(), "next": then}, folded=True)


def _do(connection: Connection, what: dict[str, Any], reason: str) -> Said:
    run, number = _named(connection, what)
    key, tenant, agent = what["key"], what["tenant"], what["agent"]
    if number is not None and (key or tenant or agent or run):
        raise click.UsageError("an ID says which item it is: leave out what else names one")
    if number is not None:
        return _one(connection, _of_id(connection, number), reason)
    if key is not None:
        if run is None:
            raise click.UsageError("name the RUN of the item")
        who = {"tenant": tenant, "agent": agent}
        chosen = choose(connection, key, run, who, lambda one: one.state not in ENDED)
        return _one(connection, Whose(chosen.id, chosen.run, chosen.key, chosen.state), reason)
    if agent is not None:
        raise click.UsageError("--agent needs --item KEY")
    if run is not None:
        reads.find_run(connection, run)
    if tenant is not None:
        return _tenant(connection, tenant, run, reason)
    if run is None:
        raise click.UsageError("name the RUN, the ID of an item, or --tenant NAME")
    return _run(connection, run, reason)


def _named(connection: Connection, what: dict[str, Any]) -> tuple[str | None, int | None]:
    """Tell whether the argument is a run or the ID of an item; what could be both is refused."""
    name, number = what["name"], what["number"]
    run = one_run(name, what["run"])
    others = what["run"] or number or what["key"] or what["tenant"]
    if others or name is None or not _ID.fullmatch(name) or int(name) >= _LARGEST_ID:
        return run, number
    found = outliers.find_item(connection, int(name))
    is_run = bool(reads.values(connection, "run_id", name=name))
    if found is not None and is_run:
        raise Ambiguous(f"{name} is a run and the ID of an item; give --run {name} or --id {name}")
    return (None, int(name)) if found is not None else (run, None)


def _of_id(connection: Connection, number: int) -> Whose:
    found = outliers.find_item(connection, number)
    if found is None:
        raise UnknownName(
            f"no item has the ID {number}; papayya outliers and items --json show IDs"
        )
    return found


def _one(connection: Connection, item: Whose, reason: str) -> Said:
    changed = acts.cancel(connection, item.run, reason, [item.id])
    said = f"item {item.key} cancelled"
    if not changed:
        said = f"nothing to do: {item.key} is not open"
    elif item.state == "running":
        said += ": it is at work, and stops at its next step or call"
    return Said(item.run, changed, said)


def _run(connection: Connection, run: str, reason: str) -> Said:
    [before] = reads.list_runs(connection, run=reads.find_run(connection, run), limit=1)
    changed = acts.cancel(connection, run, reason)
    if before.cancelled_at is not None and not changed:
        return Said(run, 0, f"run {run} was cancelled already")
    said = f"run {run} and {show.count(changed, 'open item')} cancelled"
    return Said(run, changed, said + _at_work(min(before.running, changed)))


def _tenant(connection: Connection, tenant: str, run: str | None, reason: str) -> Said:
    reads.find_tenant(connection, tenant)
    running, _ = acts.in_hand(connection, run, tenant)
    changed = outliers.kill_tenant(connection, tenant, run, reason)
    where = "" if run is None else f" in run {run}"
    if not changed:
        return Said(run, 0, f"nothing to do: tenant {tenant} has nothing open{where}")
    said = f"{show.count(changed, 'open item')} of tenant {tenant}{where} cancelled"
    said += _at_work(min(running, changed))
    pause = f"papayya pause --tenant {shlex.quote(show.safe(tenant))}"
    return Said(run, changed, f"{said}; what is submitted later runs, unless: {pause}")


def _at_work(running: int) -> str:
    if not running:
        return ""
    stops = "is at work and stops" if running == 1 else "are at work and stop"
    return f"; {running:,} of them {stops} at the next step or call"
