"""The root command: imports a command when it is asked for, and says errors in a line or two."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

import click

from papayya_core.cli.state import Cli
from papayya_core.errors import PapayyaError
from papayya_core.redaction import redact

_INTERRUPTED = 130


class Lazy(NamedTuple):
    """A command that is not imported yet: where it is, and its line in the help."""

    target: str
    summary: str

    def load(self) -> click.Command:
        """Import the command."""
        module, _, name = self.target.partition(":")
        found: click.Command = getattr(import_module(f"papayya_core.cli.{module}"), name)
        return found


class Group(click.Group):
    """Commands by section. Plugins are loaded for the help, or to find a command that is theirs.

    A command of ours wins over a plugin's of the same name.
    """

    def __init__(self, *, sections: Mapping[str, Mapping[str, Lazy]], **attrs: Any) -> None:
        super().__init__(**attrs)
        self.sections = sections
        self.own = {name: lazy for each in sections.values() for name, lazy in each.items()}
        self._asked_plugins = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all commands, ours first."""
        self._ask_plugins(ctx)
        return [*self.own, *(name for name in sorted(self.commands) if name not in self.own)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, or find a plugin's."""
        if cmd_name in self.own:
            return self.own[cmd_name].load()
        self._ask_plugins(ctx)
        return self.commands.get(cmd_name)

    def _ask_plugins(self, ctx: click.Context) -> None:
        from papayya_core.plugins import Plugins

        if self._asked_plugins or ctx.resilient_parsing:
            return
        self._asked_plugins = True
        with suppress(PapayyaError):  # a wrong setting must not keep the help from being shown
            Plugins(ctx.ensure_object(Cli).settings.plugins).register_commands(self)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section; none of ours is imported for it."""
        parts = {
            title: [(name, lazy.summary) for name, lazy in each.items()]
            for title, each in self.sections.items()
        }
        theirs = [name for name in self.list_commands(ctx) if name not in self.own]
        parts["From plugins"] = [(n, self.commands[n].get_short_help_str(60)) for n in theirs]
        width = max(len(name) for lines in parts.values() for name, _ in lines)
        for title, lines in parts.items():
            if lines:
                with formatter.section(title):
                    formatter.write_dl([(name.ljust(width), text) for name, text in lines])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and exit: 0, 1 for what went wrong, 2 for wrong usage, 130 on Ctrl-C."""
        cli = extra.setdefault("obj", Cli())
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - a person reads it
            _leave(error, debug=cli.debug)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; give back what it opened."""
        try:
            return super().invoke(ctx)
        finally:
            ctx.ensure_object(Cli).close()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; suggest one that is near to a wrong name."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f"did you mean {near[0]!r}?" if near else "papayya --help lists them"
            raise click.UsageError(f"no command {name!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


def _leave(error: BaseException, *, debug: bool) -> NoReturn:
    if isinstance(error, BrokenPipeError):
        # Python flushes stdout once more at exit; that must not complain either.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    if isinstance(error, click.Abort | KeyboardInterrupt):
        sys.exit(_INTERRUPTED)
    if isinstance(error, click.UsageError):
        error.show()
        sys.exit(error.exit_code)
    if debug:
        traceback.print_exception(error)
    click.echo(f"papayya: {describe(error)}", err=True)
    sys.exit(1)


def describe(error: BaseException) -> str:
    """Say in one line what went wrong and what to do, without secrets."""
    from papayya_core.cli.show import safe

    said = error.format_message() if isinstance(error, click.ClickException) else str(error)
    text = redact(safe(" ".join(said.split())))
    if isinstance(error, PapayyaError | click.ClickException):
        return text
    if type(error).__name__ == "InsufficientPrivilege":
        return f"Postgres: {text}. docs/operations.md lists the grants."
    if type(error).__module__.startswith("psycopg"):
        return f"Postgres: {text or type(error).__name__}. `papayya doctor` checks the database."
    return f"unexpected {type(error).__name__}: {text}. --debug shows where."
