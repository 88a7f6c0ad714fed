"""`papayya doctor`: what is installed, reachable and migrated, and what to do about the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import click

from papayya_core.cli import documents, show
from papayya_core.cli.checks import Check, database, process
from papayya_core.cli.group import describe
from papayya_core.cli.state import Cli, Command, pass_cli

PARTS: tuple[Callable[[Cli], Iterator[Check]], ...] = (
    process.python,
    process.settings,
    process.encryption,
    process.home,
    database.server,
    process.spool,
    process.plugins,
    process.prices,
)


@click.command("doctor", cls=Command)
@documents.json_option
@click.pass_context
@pass_cli
def doctor(cli: Cli, ctx: click.Context, as_json: bool) -> None:
    """Check the installation, the settings, the database and who is at work.

    Every line is ok, warn or bad, and says what to do. Exit code 1 if anything is bad.
    """
    checks = [check for part in PARTS for check in _guarded(part, cli)]
    if as_json:
        bad = any(check.level == "bad" for check in checks)
        documents.emit({"ok": not bad, "checks": checks})
    else:
        _print(checks)
    if any(check.level == "bad" for check in checks):
        ctx.exit(1)


def _guarded(part: Callable[[Cli], Iterator[Check]], cli: Cli) -> Iterator[Check]:
    """Turn what a check raises into a line: the doctor works when nothing else does."""
    try:
        yield from part(cli)
    except Exception as error:  # noqa: BLE001 - as above
        yield Check(part.__name__, "bad", describe(error))


def _print(checks: list[Check]) -> None:
    lines: list[tuple[Any, ...]] = []
    for check in checks:
        lines.append((show.word(check.level), check.name, check.text))
        if check.todo:
            lines.append(("", "", f"→ {check.todo}"))
    out = show.console()
    show.grid(out, ("", "CHECK", ""), lines)
    bad = sum(check.level == "bad" for check in checks)
    warned = sum(check.level == "warn" for check in checks)
    out.print(f"\n{bad} bad, {warned} to note" if bad or warned else "\nall is well")
