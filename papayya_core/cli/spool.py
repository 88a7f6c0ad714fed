"""`papayya spool`: what was paid while Postgres was away, and waits to be written down there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import click

from papayya_core import owner as owners
from papayya_core import spool_files, spool_replay
from papayya_core.cli import documents, show
from papayya_core.cli.state import Cli, Command, Section, pass_cli
from papayya_core.spool_files import Contents, Found

COLUMNS = ("FILE", "WRITER", ">ENTRIES", "OLDEST", "")


@click.group("spool", cls=Section, invoke_without_command=True)
@documents.json_option
@pass_cli
@click.pass_context
def spool(ctx: click.Context, cli: Cli, /, as_json: bool) -> None:
    """List what this home keeps for a Postgres that was away.

    Processes replay their own files as soon as Postgres is back, and at their start those of
    processes that died. `papayya spool replay` does it now.
    """
    if ctx.invoked_subcommand is not None:
        return
    found = list(spool_files.listing(cli.settings.home))
    if as_json:
        documents.emit({"files": list(_documents(found))})
        return
    out = show.console()
    if found:
        show.grid(out, COLUMNS, map(_line, found))
    else:
        out.print("empty: nothing waits for Postgres")


def _documents(found: Iterable[tuple[Found, Contents]]) -> Iterator[dict[str, Any]]:
    for one, contents in found:
        yield {
            "file": str(one.path),
            "database": one.database,
            "owner": one.owner,
            "writer": _writer(one),
            "refused": one.is_refused,
            "damaged": len(contents.damaged),
            "entries": [
                {"n": entry.n, "name": entry.name, "item": entry.item, "at": _moment(entry.at)}
                for entry in contents.entries
            ],
        }


def _line(found: tuple[Found, Contents]) -> tuple[show.Cell, ...]:
    one, contents = found
    oldest = min((entry.at for entry in contents.entries), default=None)
    notes = ["refused"] * one.is_refused
    notes += [f"{len(contents.damaged)} damaged"] if contents.damaged else []
    return (
        str(one.path),
        _writer(one),
        str(len(contents.entries)),
        show.moment(None if oldest is None else _moment(oldest)),
        ", ".join(notes),
    )


def _writer(one: Found) -> str:
    host, *_, pid, _ = one.owner.split("/")
    return f"{host} pid {pid}{', dead' if owners.is_dead(one.owner) else ''}"


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


@spool.command("replay", cls=Command)
@click.option("--refused", is_flag=True, help="Also what Postgres refused before.")
@click.option("--anybody", is_flag=True, help="Also files of machines or containers that are gone.")
@click.option("--moved", is_flag=True, help="Also those for a database at another address.")
@documents.json_option
@pass_cli
@click.pass_context
def replay(
    ctx: click.Context, cli: Cli, /, refused: bool, anybody: bool, moved: bool, as_json: bool
) -> None:
    """Write down in Postgres what processes that died have left. Exit code 1 if something stays.

    What a living process has is left to it. May be repeated without harm.
    """
    options = {"refused": refused, "anybody": anybody, "moved": moved}
    done = spool_replay.adopt(cli.settings.home, cli.dsn(), **options)
    if as_json:
        documents.emit(done)
    else:
        click.echo(f"{done.replayed} replayed, {done.refused} refused, {done.waiting} files wait")
    if done.refused or done.waiting:
        ctx.exit(1)
