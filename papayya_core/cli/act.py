"""`papayya retry` and `papayya drain`: each may be repeated without harm."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import click

from papayya_core.cli import documents, show
from papayya_core.cli.items import narrow
from papayya_core.cli.state import NAME, Cli, Command, pass_cli
from papayya_core.errors import PapayyaError
from papayya_core.store import acts, reads
from papayya_core.store.reads import ItemRow, RunRow, UnknownName


class Ambiguous(PapayyaError):
    """Several items have this key; the message says how to tell them apart."""


@click.command("retry", cls=Command)
@click.argument("name", metavar="[RUN]", type=NAME, required=False)
@click.option("--item", "key", metavar="KEY", type=NAME, help="Only this item.")
@click.option("--run", type=NAME, help="The same as RUN.")
@click.option("--tenant", type=NAME, help="Whose item, when several tenants have this key.")
@click.option("--agent", type=NAME, help="Whose item, when several agents have this key.")
@documents.json_option
@pass_cli
def retry(
    cli: Cli, /, name: str | None, key: str | None, run: str | None, as_json: bool, **who: Any
) -> None:
    """Queue the failed items of RUN again; or one item by its KEY.

    Finished steps are kept and not paid for again; findings become history. What is paused goes on
    by `papayya resume`.
    """
    name = one_run(name, run)
    connection = cli.connection
    if key is None:
        if name is None:
            raise click.UsageError("name a RUN, or an item with --item KEY")
        _refuse_alone(who)
        [before] = reads.list_runs(connection, run=reads.find_run(connection, name), limit=1)
        number = acts.retry(connection, name)
        said = _retried(number, before)
    else:
        chosen = choose(connection, key, name, who, lambda one: one.state == "failed")
        name = chosen.run
        number = acts.retry(connection, name, [chosen.id])
        said = f"failed item {key} queued again" if number else _not_retried(chosen)
    _report(connection, name, as_json, said, ("retry", number))


@click.command("drain", cls=Command)
@click.argument("name", metavar="[RUN]", type=NAME, required=False)
@click.option("--off", is_flag=True, help="Hand out items again.")
@click.option("--hand-back", is_flag=True, help="Give parked items back to their queue, for good.")
@click.option("--all", "every", is_flag=True, help="With --hand-back: of all runs.")
@documents.json_option
@pass_cli
def drain(cli: Cli, /, name: str, off: bool, hand_back: bool, every: bool, as_json: bool) -> None:
    """Let RUN finish what it has in hand, and start no more items; before a deploy, for instance.

    Items that are not running wait. Going on with the run (PAPAYYA_RUN_ID) ends the draining too.

    To leave: --hand-back publishes what is parked as if Papayya had never been there, under the
    same ids. Workers run it from its beginning; what its steps have paid for is forgotten. It needs
    the modules with your papayya_celery.install(app) in PAPAYYA_IMPORT.
    """
    if (name is None) != every or (hand_back and off) or (every and not hand_back):
        raise click.UsageError("name a RUN; or give --all, with --hand-back and without --off")
    connection = cli.connection
    if name is not None:
        reads.find_run(connection, name)
    if hand_back:
        _hand_back(cli, name, as_json)
        return
    changed = acts.drain(connection, name, on=not off)
    running, held = acts.in_hand(connection, name)
    if off:
        said = f"run {name} {'hands out items again' if changed else 'was not draining'}"
    else:
        state = "drains" if changed else "was draining already"
        said = f"run {name} {state}: {show.count(running, 'item')} in hand, {held:,} held back"
        if not running + held:
            said = f"run {name} {state}, but no item of it is open: there is nothing to hold back"
    _report(connection, name, as_json, said, ("drain", int(changed)))


def _hand_back(cli: Cli, name: str | None, as_json: bool) -> None:
    from papayya_core.cli import leaving

    left = leaving.hand_back(cli, name)
    said = f"{show.count(left.handed_back, 'parked item')} handed back"
    then = "Nothing else is open."
    if left.running + left.held:
        then = (
            f"{left.running:,} in hand and {left.held:,} on their way end as usual; what parks"
            " after all is handed back by the same command."
        )
    facts = {"act": "hand back", "run": name, "changed": left.handed_back}
    documents.report(as_json, {**facts, "said": said, "next": then}, folded=True)


def one_run(name: str | None, run: str | None) -> str | None:
    """Return the run that was named, by argument or option."""
    if name is not None and run is not None and name != run:
        raise click.UsageError(f"RUN is {name!r} and --run is {run!r}; give one of them")
    return name or run


def _refuse_alone(who: dict[str, Any]) -> None:
    given = [f"--{name}" for name, value in who.items() if value is not None]
    if given:
        raise click.UsageError(f"{given[0]} needs --item KEY")


def choose(
    connection: reads.Connection,
    key: str,
    run: str | None,
    who: dict[str, Any],
    fits: Callable[[ItemRow], bool],
) -> ItemRow:
    """Find the one item that is meant; those that do not fit do not stand in its way."""
    found, _ = reads.items_of_key(connection, key, narrow(connection, run=run, **who))
    if not found:
        where = "" if run is None else f" in run {run!r}"
        raise UnknownName(f"no item {key!r}{where}; papayya items lists keys")
    fitting = [one for one in found if fits(one)]
    if len(fitting) > 1:
        raise Ambiguous(_how_to_tell(key, fitting))
    return (fitting or found)[0]


def _how_to_tell(key: str, fitting: list[ItemRow]) -> str:
    lead = f"{len(fitting)} items {key!r} could be meant"
    for what in ("run", "tenant", "agent"):
        names = sorted({str(getattr(one, what)) for one in fitting})
        if len(names) > 1:
            shown = ", ".join(map(shlex.quote, names[:5])) + (", …" if len(names) > 5 else "")  # noqa: PLR2004
            return f"{lead}; give --{what}, one of: {shown}"
    return f"{lead}; papayya item {shlex.quote(key)} shows them"


def _nothing(key: str | None, state: str) -> str:
    return (
        f"nothing to do: no {state} items"
        if key is None
        else f"nothing to do: {key} is not {state}"
    )


def _retried(number: int, before: RunRow) -> str:
    said = (
        f"{show.count(number, 'failed item')} queued again" if number else _nothing(None, "failed")
    )
    if before.cancelled_at is not None and before.failed:
        said = f"nothing to do: run {before.run} was cancelled; submit its items in a new run"
    if not number and before.paused:
        said += f"; {before.paused:,} paused: papayya resume {before.run}"
    if kept := before.flagged - before.failed:
        said += (
            f"; {show.count(kept, 'flagged item')} completed and stay: their answers are"
            " checkpointed, submit them in a new run to have them anew"
        )
    return said


def _not_retried(item: ItemRow) -> str:
    said = f"nothing to do: {item.key} is not failed"
    if item.state == "completed":
        return f"{said}: it completed, its answers are checkpointed; submit it in a new run"
    if item.state == "cancelled":
        return f"{said}: it was cancelled; submit it in a new run"
    if item.state == "paused":
        if item.paused_by == "budget":
            return f"{said}: it is paused ({item.reason}); raise it with `papayya budget set`, and run again"
        return f"{said}: it is paused ({item.reason}); papayya resume lets it go on"
    if item.state == "failed":
        return f"nothing to do: the run of {item.key} was cancelled; submit it in a new run"
    return said


def _report(
    connection: reads.Connection, name: str, as_json: bool, said: str, did: tuple[str, int]
) -> None:
    [run] = reads.list_runs(connection, run=reads.find_run(connection, name), limit=1)
    act, changed = did
    facts = {"act": act, "run": name, "changed": changed, "said": said, "next": next_step(run)}
    documents.report(as_json, facts, folded=True)


def next_step(run: RunRow) -> str:
    """Say what happens with a run next, and what it needs for that."""
    name = shlex.quote(show.safe(run.run))
    if not run.open:
        return f"No item of the run is open; papayya run {name} shows it."
    if run.draining:
        return f"Nothing starts while the run drains; papayya drain {name} --off lets it go on."
    if run.paused_at is not None:
        return f"Nothing starts while the run is paused; papayya resume {name} lets it go on."
    if run.carrier == "plain":
        return f"Go on with: PAPAYYA_RUN_ID={name} <your command>"
    return f"The pump sends what is queued through {show.safe(run.carrier)}."
