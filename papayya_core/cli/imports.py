"""Carriers for the command line: the modules that install them are imported first."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from papayya_core.carriers import served
from papayya_core.cli.state import Cli
from papayya_core.errors import PapayyaError

if TYPE_CHECKING:
    from papayya_core.carriers import Carrier
    from papayya_core.plugins import Plugins


class NoCarrier(PapayyaError):
    """Nothing in this process can bring items to workers; the message says what to import."""


def import_carriers(cli: Cli) -> Plugins:
    """Import the modules of PAPAYYA_IMPORT, found from the current directory too.

    Raises PapayyaError for one that cannot be imported.
    """
    from papayya_core import runtime
    from papayya_core.plugins import Plugins

    names = cli.settings.import_ or ()
    if not names:
        return Plugins(cli.settings.plugins)
    here = runtime.configure(cli.settings)
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, folder)
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            raise PapayyaError(
                f"PAPAYYA_IMPORT names {name}, which cannot be imported from {folder}:"
                f" {type(error).__name__}: {error}"
            ) from error
    return here.plugins


def ready_carriers(plugins: Plugins) -> dict[str, Carrier]:
    """Pick the carriers that this process can send through."""
    return served(plugins.carriers().values())


def no_carrier(cli: Cli) -> NoCarrier:
    """Say what to import."""
    if cli.settings.import_:
        named = ", ".join(cli.settings.import_)
        return NoCarrier(
            f"no carrier is ready after {named} was imported (PAPAYYA_IMPORT): one of the modules"
            " must call papayya_celery.install(app)"
        )
    return NoCarrier(
        "no carrier is ready in this process: name the modules that call"
        " papayya_celery.install(app) in PAPAYYA_IMPORT, for instance PAPAYYA_IMPORT=shop.tasks"
    )
