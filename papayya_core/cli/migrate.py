"""`papayya migrate`: the schema, by plain SQL files."""

from __future__ import annotations

import click

from papayya_core import embedded
from papayya_core import migrate as migrations
from papayya_core.cli import documents, show
from papayya_core.cli.state import Cli, Command, pass_cli


@click.command("migrate", cls=Command)
@click.option("--status", "what", flag_value="status", help="Only list what was applied.")
@click.option("--sql", "what", flag_value="sql", help="Only print the SQL of what is pending.")
@click.option("--verify", "what", flag_value="verify", help="Only check: exit 1 if not up to date.")
@documents.json_option
@pass_cli
def migrate(cli: Cli, what: str | None, as_json: bool) -> None:
    """Bring the database to the schema of this version.

    Each file runs once, in a transaction of its own; any number of processes may ask at once.
    --sql prints the same for psql or a tool of your own. An embedded database is made if there
    is none.
    """
    if what is None:
        _apply(cli, as_json)
        return
    cli.need_embedded()
    connection = cli.connect(_dsn(cli))
    if what == "sql":
        text = migrations.sql(connection)
        documents.emit({"sql": text}) if as_json else click.echo(text)
        return
    status = migrations.verify(connection)
    if as_json:
        documents.emit({**documents.shape(status), "up_to_date": status.up_to_date})
    else:
        _print(status)
    if what == "verify":
        status.check()


def _dsn(cli: Cli) -> str:
    """Say where the database is, whatever its schema; an embedded one is started."""
    return cli.settings.database_url or embedded.ensure(cli.settings.home)


def _apply(cli: Cli, as_json: bool) -> None:
    report = show.console(err=True)
    applied = migrations.apply(
        _dsn(cli), lambda name: report.print(f"applying {name}", style="dim")
    )
    status = migrations.verify(cli.connect(_dsn(cli)))
    if as_json:
        documents.emit({"applied": applied, "status": str(status)})
        return
    number = show.count(len(applied), "migration")
    click.echo(f"{number} applied; {status}" if applied else f"nothing to do: {status}")


def _print(status: migrations.Status) -> None:
    groups = {
        "applied": status.applied,
        "pending": status.pending,
        "unknown": status.unknown,
        "changed": status.changed,
    }
    states = sorted((name, word) for word, names in groups.items() for name in names)
    lines = [(name, show.word(word)) for name, word in states]
    out = show.console()
    show.grid(out, ("MIGRATION", "STATE"), lines)
    out.print(f"the database is {status}" if not status.initialised else str(status))
