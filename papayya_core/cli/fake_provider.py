"""`papayya fake-provider`: the stand-in for a model provider, with its own arguments."""

from __future__ import annotations

import sys

import click

FORWARD = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


@click.command("fake-provider", context_settings=FORWARD, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def fake_provider(arguments: tuple[str, ...]) -> None:
    """Run a model provider that costs nothing; --help lists its arguments."""
    from papayya_core.fake_provider.__main__ import main

    sys.exit(main(list(arguments)))
