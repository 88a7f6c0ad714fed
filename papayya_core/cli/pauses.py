"""`papayya pause` and `papayya resume`: each may be repeated without harm."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

import click

from papayya_core.cli import documents, show
from papayya_core.cli.act import choose, next_step, one_run
from papayya_core.cli.state import NAME, Cli, Command, pass_cli
from papayya_core.contract import ENDED
from papayya_core.store import acts, reads
from papayya_core.store.reads import Connection, ItemRow


class Said(NamedTuple):
    """What an act did: to which run or tenant, how many items it touched, in words, and then."""

    run: str | None
    tenant: str | None
    changed: int
    said: str
    next: str


def _selectors(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        documents.json_option,
        click.option("--agent", type=NAME, help="Whose item, when several agents have this key."),
        click.option("--tenant", type=NAME, help="This tenant, in all runs; or whose item."),
        click.option("--run", type=NAME, help="The same as RUN."),
        click.option("--item", "key", metavar="KEY", type=NAME, help="Only this item."),
        click.argument("name", metavar="[RUN]", type=NAME, required=False),
    ):
        command = option(command)
    return command


@click.command("pause", cls=Command)
@_selectors
@pass_cli
def pause(cli: Cli, /, as_json: bool, **what: Any) -> None:
    """Pause RUN, a tenant (--tenant) or one item (--item), until it is resumed.

    What is at work stops at its next step, with its finished steps; what comes later parks before
    it begins. Nothing fails, and no attempt is used up.
    """
    did = _do(cli.connection, what, _pause_whole, _pause_item)
    documents.report(as_json, {"act": "pause", **did._asdict()}, folded=True)


@click.command("resume", cls=Command)
@_selectors
@pass_cli
def resume(cli: Cli, /, as_json: bool, **what: Any) -> None:
    """Let RUN, a tenant (--tenant) or one item (--item) go on, whatever paused it.

    Finished steps are kept and not paid for again. What a budget paused parks again unless the
    budget was raised.
    """
    did = _do(cli.connection, what, _resume_whole, _resume_item)
    documents.report(as_json, {"act": "resume", **did._asdict()}, folded=True)


def _do(
    connection: Connection,
    what: dict[str, Any],
    whole: Callable[[Connection, str | None, str | None], Said],
    single: Callable[[Connection, str, str | None, dict[str, Any]], Said],
) -> Said:
    run, key = one_run(what["name"], what["run"]), what["key"]
    who = {name: what[name] for name in ("tenant", "agent")}
    if key is not None:
        return single(connection, key, run, who)
    if who["agent"] is not None:
        raise click.UsageError("--agent needs --item KEY")
    if (run is None) == (who["tenant"] is None):
        raise click.UsageError("name a RUN, or --tenant NAME, or an item with --item KEY")
    if run is not None:
        reads.find_run(connection, run)
    else:
        reads.find_tenant(connection, who["tenant"])
    return whole(connection, run, who["tenant"])


def _pause_whole(connection: Connection, run: str | None, tenant: str | None) -> Said:
    was = acts.is_paused(connection, run, tenant)
    changed = acts.pause(connection, run, tenant)
    running, held = acts.in_hand(connection, run, tenant)
    stops = "stops at its next step" if running == 1 else "stop at their next step"
    waits = "does not start" if held == 1 else "do not start"
    parts = [f"{show.count(running, 'item')} {stops}"] if running else []
    parts += [f"{show.count(held, 'open item')} {waits}"] if held else []
    parts.append("what is submitted later parks")
    said = (
        f"{_whole(run, tenant)} {'was paused already' if was else 'is paused'}: {'; '.join(parts)}"
    )
    return Said(run, tenant, changed, said, f"Go on with: papayya resume {_selector(run, tenant)}")


def _resume_whole(connection: Connection, run: str | None, tenant: str | None) -> Said:
    was = acts.is_paused(connection, run, tenant)
    changed = acts.resume(connection, run, tenant)
    whole = _whole(run, tenant)
    said = f"{whole} goes on" if was else f"{whole} was not paused"
    if changed:
        said += f"; {show.count(changed, 'paused item')} of it may go on" + ("" if was else " now")
    return Said(run, tenant, changed, said, _then(connection, run, tenant))


def _pause_item(connection: Connection, key: str, run: str | None, who: dict[str, Any]) -> Said:
    one = choose(connection, key, run, who, lambda row: row.state not in ENDED)
    changed = acts.pause(connection, one.run, items=[one.id])
    then = f"Go on with: papayya resume {_selector(one.run, None)} --item {_quoted(one.key)}"
    if not changed:
        return Said(one.run, None, 0, _not_paused(one), then if one.paused_by else "")
    stops = "stops at its next step and parks" if one.state == "running" else "is paused"
    return Said(one.run, None, changed, f"item {one.key} {stops}", then)


def _not_paused(one: ItemRow) -> str:
    if one.paused_by is None:
        return f"nothing to do: {one.key} has ended ({one.state})"
    if one.state == "running":
        return f"nothing to do: {one.key} was asked to pause already; it stops at its next step"
    return f"nothing to do: {one.key} is paused already ({one.reason})"


def _resume_item(connection: Connection, key: str, run: str | None, who: dict[str, Any]) -> Said:
    one = choose(connection, key, run, who, lambda row: row.paused_by is not None)
    changed = acts.resume(connection, one.run, items=[one.id])
    did = "is queued again" if one.state == "paused" else "goes on: it had not parked yet"
    said = f"item {one.key} {did}" if changed else f"nothing to do: {one.key} is not paused"
    return Said(one.run, None, changed, said, _then(connection, one.run, one.tenant))


def _then(connection: Connection, run: str | None, tenant: str | None) -> str:
    """Say what else holds an item back, or how it goes on."""
    if tenant is not None and acts.is_paused(connection, tenant=tenant):
        return f"Its tenant is paused, too; go on with: papayya resume {_selector(None, tenant)}"
    if run is None:
        return "The pump sends what has a carrier; scripts go on with PAPAYYA_RUN_ID=<run>."
    [row] = reads.list_runs(connection, run=reads.find_run(connection, run), limit=1)
    return next_step(row)


def _whole(run: str | None, tenant: str | None) -> str:
    return f"run {run}" if run is not None else f"tenant {tenant}"


def _selector(run: str | None, tenant: str | None) -> str:
    return _quoted(run) if run is not None else f"--tenant {_quoted(tenant or '')}"


def _quoted(name: str) -> str:
    return shlex.quote(show.safe(name))
