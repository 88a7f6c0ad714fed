"""`papayya pump`: bring back what was lost and send what is due, until told to stop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

import click
from rich.console import Console
from rich.logging import RichHandler

from papayya_core import redaction
from papayya_core.cli import documents, show
from papayya_core.cli.imports import import_carriers, no_carrier, ready_carriers
from papayya_core.cli.state import Cli, Command, pass_cli
from papayya_core.errors import PapayyaError
from papayya_core.pump import EVERY, Pump, Turn

logger = redaction.logger("papayya.pump")


@click.command("pump", cls=Command)
@click.option("--once", is_flag=True, help="Take one turn and end.")
@click.option(
    "--every",
    type=click.FloatRange(0.01, 3600),
    default=EVERY,
    show_default=True,
    metavar="SECONDS",
    help="Time between two turns.",
)
@documents.json_option
@pass_cli
def pump(cli: Cli, once: bool, every: float, as_json: bool) -> None:
    """Put items of lost workers back, wake what is due, and send it again.

    Workers and scripts run a pump of their own; this one is for a machine that should always
    have one. Any number may run: one leads. SIGTERM or Ctrl-C ends it after its turn. To send
    Celery tasks again it needs the modules with your papayya_celery.install(app) in PAPAYYA_IMPORT.
    """
    with _pump(cli) as machine:
        if once:
            turn = machine.turn()
            documents.emit(_document(turn)) if as_json else click.echo(_say(turn))
            return
        with _stopping() as stop, _reporter(as_json) as report:
            _run(machine, stop, every, report)


@contextmanager
def _pump(cli: Cli) -> Iterator[Pump]:
    from papayya_core.owner import owner
    from papayya_core.store.store import Store

    dsn = cli.dsn()
    plugins = import_carriers(cli)
    if cli.settings.import_ and not ready_carriers(plugins):
        raise no_carrier(cli)
    store = Store(dsn, cli.settings, owner())
    store.open_pool()
    try:
        yield Pump(store, plugins, cli.settings, owner())
    finally:
        store.close_pool()


def _run(machine: Pump, stop: threading.Event, every: float, report: Reporter) -> None:
    while not stop.is_set():
        try:
            report(machine.turn())
        except PapayyaError as error:
            logger.warning("a turn failed, trying again in %g s: %s", every, error)
        stop.wait(every)


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Set an event at the first SIGTERM or SIGINT; a second one is not waited for."""
    stop = threading.Event()
    before: dict[signal.Signals, Any] = {}

    def ask(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, ask)
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class Reporter(Protocol):
    """Hears what each turn did."""

    def __call__(self, turn: Turn) -> None: ...


@contextmanager
def _reporter(as_json: bool) -> Iterator[Reporter]:
    out = show.console()
    if as_json:
        yield lambda turn: documents.emit_line(_document(turn))
    elif out.is_terminal:
        handler = RichHandler(console=out, show_path=False)
        logging.basicConfig(handlers=[handler], format="%(message)s", level=logging.INFO)
        with out.status("pump: starting") as status:
            yield Live(out, status.update)
    else:
        form = "%(asctime)s %(levelname)s %(message)s"
        logging.basicConfig(format=form, level=logging.INFO)
        yield Log()


class Log:
    """Plain lines: of turns that did something, and of who leads."""

    def __init__(self) -> None:
        self._leading: bool | None = None

    def __call__(self, turn: Turn) -> None:
        if turn.leading is not self._leading or turn.swept or turn.woken or turn.sent:
            logger.info(_say(turn))
        self._leading = turn.leading


class Live:
    """A status line on a terminal; lost items scroll by above it."""

    def __init__(self, out: Console, update: Callable[[str], None]) -> None:
        self._out = out
        self._update = update
        self._swept = self._woken = self._sent = 0

    def __call__(self, turn: Turn) -> None:
        for one in turn.swept:
            self._out.print(f"{show.safe(one.key)} of {show.safe(one.run)}: {_fate(one)}")
        self._swept += len(turn.swept)
        self._woken += turn.woken
        self._sent += turn.sent
        lead = "leading" if turn.leading else "another pump leads"
        did = f"{self._swept:,} swept, {self._woken:,} woken, {self._sent:,} sent"
        self._update(f"pump: {lead}; {did}; last turn {datetime.now().astimezone():%H:%M:%S}")


def _fate(one: Any) -> str:
    return f"now {one.state}" + (f", {show.safe(one.reason)}" if one.reason else "")


def _say(turn: Turn) -> str:
    lead = "leading" if turn.leading else "another pump leads"
    lost = "".join(
        f"; {show.safe(one.key)} of {show.safe(one.run)}: {_fate(one)}" for one in turn.swept
    )
    return f"{lead}: {len(turn.swept)} swept, {turn.woken} woken, {turn.sent} sent{lost}"


def _document(turn: Turn) -> dict[str, Any]:
    swept = [one._asdict() for one in turn.swept]
    return {"leading": turn.leading, "swept": swept, "woken": turn.woken, "sent": turn.sent}
