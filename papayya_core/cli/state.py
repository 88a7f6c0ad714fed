"""What one invocation of the command line knows: global options, settings, the database."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import click

from papayya_core.errors import PapayyaError

if TYPE_CHECKING:
    from papayya_core.settings import Settings
    from papayya_core.store.reads import Connection

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


_GLOBAL: dict[str, dict[str, Any]] = {
    "--database-url": {"metavar": "URL", "help": "The Postgres to use."},
    "--home": {"metavar": "DIR", "help": "Where the embedded Postgres lies."},
    "--debug": {"is_flag": True, "help": "Show where an error was raised."},
}


class NoDatabase(PapayyaError):
    """There is no embedded database yet, so there is nothing to look at."""


class Cli:
    """The global options, and what they lead to; made and opened at first use."""

    def __init__(self) -> None:
        self.database_url: str | None = None
        self.home: str | None = None
        self.debug = False
        self._opened = ExitStack()

    @cached_property
    def settings(self) -> Settings:
        """The settings, options first; what is odd about the environment goes to stderr, once."""
        from papayya_core import vault
        from papayya_core.settings import Settings

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            settings = Settings.load(database_url=self.database_url, home=self.home)
        for warning in caught:
            click.echo(f"papayya: {warning.message}", err=True)
        vault.use(settings.encryption_key)
        return settings

    def dsn(self) -> str:
        """Prepare the database and say where it is; an embedded one must have been made before.

        Raises NoDatabase, StoreUnavailable, or a MigrationError that says what to run.
        """
        from papayya_core import runtime

        self.need_embedded()
        return runtime.prepare_database(self.settings)

    def need_embedded(self) -> None:
        """Raise NoDatabase if the embedded database is meant and was never made."""
        from papayya_core import embedded

        settings = self.settings
        if settings.database_url is None and not embedded.status(settings.home).initialised:
            raise NoDatabase(
                f"no database yet at {settings.home}: run something first, or name the database"
                " with --database-url or PAPAYYA_DATABASE_URL"
            )

    @cached_property
    def connection(self) -> Connection:
        """A connection for this command; closed at its end."""
        return self.connect(self.dsn())

    @cached_property
    def first_connection(self) -> Connection:
        """The same for a command that may come before anything ran: it makes the database."""
        from papayya_core import runtime

        return self.connect(runtime.prepare_database(self.settings))

    def connect(self, dsn: str) -> Connection:
        """Open a connection that is closed at the end of the command."""
        import psycopg

        # Unprepared: the plans fit the values, and a transaction-mode pooler is no obstacle.
        connection: Connection = psycopg.connect(
            dsn, autocommit=True, prepare_threshold=None, application_name="papayya cli"
        )
        self._opened.callback(connection.close)
        return connection

    def close(self) -> None:
        """Give back what was opened."""
        self._opened.close()


def global_options(command: Decorated) -> Decorated:
    """Add --database-url, --home and --debug."""
    for name, attrs in reversed(_GLOBAL.items()):
        command = click.option(name, expose_value=False, callback=_keep, **attrs)(command)
    return command


class Command(click.Command):
    """A command that takes the global options too, for those who write them last."""

    def __init__(self, *args: Any, **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        for name, option in _GLOBAL.items():
            hidden = {"hidden": True, "expose_value": False, "callback": _keep}
            self.params.append(click.Option([name], **{**option, **hidden}))


class Section(Command, click.Group):
    """A command with commands of its own; it takes the global options, and so do they."""


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value and param.name:
        setattr(ctx.ensure_object(Cli), param.name, value)


class Name(click.ParamType[str]):
    """A run, tenant, agent or key: any text that Postgres can hold."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse what no name can be."""
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail("it is not valid UTF-8", param, ctx)
        if not text or "\x00" in text:
            self.fail("it must have at least one character, and no NUL", param, ctx)
        return text


NAME = Name()


def names(*options: tuple[str, str]) -> Callable[[Decorated], Decorated]:
    """Add an option for each of these that takes a name: what it is called, and its help."""

    def decorate(command: Decorated) -> Decorated:
        for option, text in reversed(options):
            command = click.option(f"--{option}", type=NAME, help=text)(command)
        return command

    return decorate


pass_cli = click.make_pass_decorator(Cli, ensure=True)
