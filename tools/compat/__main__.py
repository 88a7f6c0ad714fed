"""Celery's own integration suite with us and without: ``python -m tools.compat [-k EXPRESSION]``.

Exits 1 when a test does worse with the installation than without, in its best run.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

import click
from rich import progress
from rich.console import Console

from tools.compat import baseline, report, servers, suite
from tools.compat.baseline import Baseline
from tools.compat.comparison import Comparison, Phase
from tools.compat.session import Progress, RunError, Session

OURS = "papayya_celery:install"
WIDE = 140  # where there is no terminal to ask


@contextmanager
def bars(console: Console) -> Iterator[Phase]:
    """Show how far each run of the suite is; where there is no terminal, once at the end."""
    columns = (
        progress.TextColumn("{task.description:<20}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=console) as shown:

        def phase(title: str, total: int) -> Progress:
            task = shown.add_task(title, total=total)
            return lambda ended: shown.update(task, completed=ended)

        yield phase


def recorded(console: Console, items: Mapping[str, int]) -> bool:
    """Show what the installation recorded; nothing is no proof that it was there."""
    counts = ", ".join(f"{number:,} {state}" for state, number in items.items())
    console.print(f"items recorded by the installation: {counts or 'none, so it proves nothing'}")
    return bool(items)


def stop(_number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that servers and runs are ended too."""
    raise KeyboardInterrupt


@click.command()
@click.option("-k", "expression", default="", help="Only the tests that pytest's -k chooses.")
@click.option("--install", default=OURS, show_default=True, help="Called with each app.")
@click.option("--reruns", default=2, show_default=True, help="How often what differs runs again.")
@click.option("--fresh", is_flag=True, help="Run bare, too, what the cached baseline holds.")
@click.option("--bare", is_flag=True, help="Only complete the baseline.")
def main(expression: str, install: str, reruns: int, *, fresh: bool, bare: bool) -> None:
    """Compare Celery's suite with and without Papayya on its app, test by test."""
    signal.signal(signal.SIGTERM, stop)
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    logs = suite.cache() / "logs"
    logs.mkdir(exist_ok=True)
    with servers.redis_server() as redis, bars(Console(stderr=True)) as phase:
        session = Session(suite.ensure(), redis)
        facts = baseline.versions() | {"redis-server": servers.redis_version(redis)}
        kept = Baseline(suite.cache(), facts, fresh=fresh)
        comparison = Comparison(session, install, kept, logs, phase)
        tests = session.collect(["-k", expression] if expression else [])
        pairs = comparison.bare(tests) if bare else comparison.compare(tests, reruns)
    report.head(console, pairs, facts)
    console.print(f"baseline: {kept.path}\nlogs: {logs}", style="dim", soft_wrap=True)
    if bare:
        report.show_baseline(console, pairs)
        return
    report.show(console, pairs)
    present = recorded(console, comparison.items) or install != OURS
    sys.exit(not present or any(pair.worse for pair in pairs))


if __name__ == "__main__":
    try:
        main()
    except (suite.SuiteError, RunError) as exc:
        sys.exit(f"compat: {exc}")
