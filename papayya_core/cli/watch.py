"""`papayya watch`: one run live, until there is nothing more to see."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
import psycopg
from rich.console import Console
from rich.live import Live
from rich.text import Text

from papayya_core.cli import documents, show, watchpage
from papayya_core.cli.redacting import Redactor, redacted, redactor
from papayya_core.cli.runs import next_steps
from papayya_core.cli.state import NAME, Cli, Command, pass_cli
from papayya_core.cli.watchpage import Pace, Paces
from papayya_core.store import reads, watching
from papayya_core.store.watching import Look, Slow

_SLOWLY = 5.0  # seconds between looks for budgets and outliers
_SHARE = 4  # so many times as long as a look takes is waited at least
_SURE = 3  # looks in a row that see only parked items, while more may come
_LIVE, _LINES = 1.0, 5.0  # seconds between two looks, on a terminal and elsewhere
Show = Callable[[Look, Pace, str | None], None]


@click.command("watch", cls=Command)
@click.argument("run", metavar="RUN", type=NAME)
@click.option("--every", type=click.FloatRange(0.1, 3600), metavar="SECONDS",
              help="Time between two looks.  [default: 1; 5 where stdout is no terminal]")  # fmt: skip
@click.option("--once", is_flag=True, help="Look once and end.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document a line for each look."
)
@pass_cli
def watch(cli: Cli, run: str, every: float | None, once: bool, as_json: bool) -> None:
    """Watch RUN: progress, money, pace, tenants, newest findings, outliers by cost.

    It ends when the run is completed, or when all that is left of it is parked, and says how to go
    on. Ctrl-C leaves; the run goes on without you. Where stdout is no terminal it prints a line now
    and then.
    """
    watcher = Watcher(cli, run)
    out = show.console()
    is_page = out.is_terminal and not as_json and not once
    every = every or (_LIVE if out.is_terminal or as_json else _LINES)
    verdict: str | None = None
    try:
        with _shown(out, is_page=is_page, as_json=as_json) as shown:
            verdict = watcher.follow(shown, every, once=once)
    except KeyboardInterrupt:
        if not as_json:
            out.print(f"\nleft; papayya watch {_quoted(run)} comes back")
        return
    if not as_json and verdict is not None:
        _conclude(out, watcher, verdict)


class Watcher:
    """Looks at one run again and again, also when Postgres was away in between."""

    def __init__(self, cli: Cli, run: str) -> None:
        self._cli = cli
        self._dsn = cli.dsn()
        self.connection = cli.connection
        self.name = run
        self._id = reads.find_run(self.connection, run)
        self._clean: Redactor = redactor(cli)
        self._slow = Slow()
        self._slow_at = 0.0
        self._parked = 0

    def follow(self, shown: Show, every: float, *, once: bool) -> str | None:
        """Look until there is nothing more to see; return why: completed, cancelled or parked."""
        paces = Paces()
        while True:
            began = time.monotonic()
            look = self._look(began)
            if look is not None:
                verdict = self._verdict(look)
                shown(look, paces.at(time.monotonic(), look), verdict)
                if verdict is not None or once:
                    return verdict
            took = time.monotonic() - began
            time.sleep(max(every - took, _SHARE * took))

    def _look(self, now: float) -> Look | None:
        """Look; None while Postgres is away."""
        try:
            if self.connection.closed:
                self.connection = self._cli.connect(self._dsn)
            if now >= self._slow_at:
                score = self._cli.settings.outlier_score
                self._slow = watching.look_slowly(self.connection, self._id, self.name, score)
                took = time.monotonic() - now
                self._slow_at = now + max(_SLOWLY, _SHARE * took)
            return redacted(watching.look(self.connection, self._id, self._slow), self._clean)
        except psycopg.OperationalError as error:
            said = " ".join(str(error).split())
            click.echo(
                f"papayya: Postgres is away ({show.short(said, 80)}); trying again", err=True
            )
            return None

    def _verdict(self, look: Look) -> str | None:
        """Say why there is nothing more to see; None while there is."""
        sealed = look.run.sealed_at is not None or look.run.cancelled_at is not None
        left = look.count("items") - look.ended
        if not left:
            if look.run.cancelled_at is not None:
                return "cancelled"
            return "completed" if sealed else None
        is_parked = look.count("paused") + look.held_back == left
        self._parked = self._parked + 1 if is_parked else 0
        return "parked" if self._parked >= (1 if sealed else _SURE) else None


@contextmanager
def _shown(out: Console, *, is_page: bool, as_json: bool) -> Iterator[Show]:
    """Say how looks are shown: a page that is drawn anew, a line each, or a document each."""
    if as_json:
        yield _emit
    elif not is_page:
        yield lambda look, pace, _: out.print(watchpage.line(look, pace), soft_wrap=True)
    else:
        with Live(console=out, auto_refresh=False, vertical_overflow="crop") as live:
            yield lambda look, pace, _: live.update(watchpage.page(look, pace, out), refresh=True)


def _emit(look: Look, pace: Pace, verdict: str | None) -> None:
    documents.emit_line(watchpage.document(look, pace, verdict))
    sys.stdout.flush()


def _conclude(out: Console, watcher: Watcher, verdict: str) -> None:
    said = {
        "completed": "the run is completed",
        "cancelled": "the run was cancelled",
        "parked": "all that is left is parked",
    }
    out.print(Text(f"\n{said[verdict]}", style="bold"))
    run = reads.find_run(watcher.connection, watcher.name)
    [row] = reads.list_runs(watcher.connection, run=run, limit=1)
    for step in next_steps(row, reads.list_parking(watcher.connection, run)):
        out.print(Text(step), soft_wrap=True)


def _quoted(name: str) -> str:
    return shlex.quote(show.safe(name))
