"""`papayya plugins`: which are on, which are off, and why."""

from __future__ import annotations

import click

from papayya_core.cli import documents, show
from papayya_core.cli.state import Cli, Command, pass_cli


@click.command("plugins", cls=Command)
@documents.json_option
@pass_cli
def plugins(cli: Cli, as_json: bool) -> None:
    """List the plugins: which are on, which are off, and why.

    A plugin is a module with hooks, named by an entry point of the group `papayya`.
    PAPAYYA_PLUGINS limits which are loaded.
    """
    from papayya_core.plugins import Plugins

    found = Plugins(cli.settings.plugins).statuses
    if as_json:
        documents.emit({"plugins": found})
        return
    lines = [
        (one.name, one.version, show.word("on" if one.on else "off"), one.why or "", hooks)
        for one in found
        for hooks in [", ".join(one.hooks)]
    ]
    show.grid(show.console(), ("PLUGIN", "VERSION", "STATE", "BECAUSE", "HOOKS"), lines)
