"""What a checkpoint costs: ``python -m tests.benchmarks.checkpoint [--json | --markdown]``.

On one server and in turn: a bare INSERT with its commit, Papayya, and DBOS Transact.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
from rich.console import Console

from tests.benchmarks import report
from tests.benchmarks.measure import Result, measure
from tests.benchmarks.server import Server
from tests.benchmarks.subjects import Bare, Checkpoints, Dbos, Items, Subject

DOCUMENT = Path("docs/benchmarks.md")
ITEMS = {1: 100, 16: 320}


@contextmanager
def subjects(server: Server, most: int) -> Iterator[list[Subject]]:
    """Make a database for each subject, and the subjects on them."""
    with ExitStack() as stack:

        def url(name: str) -> str:
            return stack.enter_context(server.database(f"papayya_bench_{name}"))

        items = Items(url("items"))
        made: list[Subject] = [Bare(url("bare"), most), Checkpoints(items), items]
        if importlib.util.find_spec("dbos") is not None:
            made.append(Dbos(url("dbos"), most))
        for subject in made:
            stack.callback(subject.close)
        yield made


def run(
    workers: Sequence[int], rounds: int, console: Console
) -> tuple[list[Result], dict[str, str]]:
    """Measure everything; results in the order of workers and subjects, and the machine's facts."""
    server = Server()
    facts = server.facts()
    results: list[Result] = []
    with subjects(server, max(workers)) as made, console.status("starting") as status:
        for number in workers:
            items = ITEMS.get(number, 20 * number)
            results += measure(server, made, number, rounds, items, status.update)
    return results, facts


@click.command()
@click.option("--workers", default="1,16", show_default=True, help="Threads, with commas between.")
@click.option("--rounds", default=9, show_default=True, type=click.IntRange(3))
@click.option("--json", "as_json", is_flag=True, help="Print every round instead of the table.")
@click.option("--markdown", is_flag=True, help=f"Put the figures into {DOCUMENT}.")
def main(workers: str, rounds: int, *, as_json: bool, markdown: bool) -> None:
    """Measure what a checkpoint costs."""
    results, facts = run([int(w) for w in workers.split(",")], rounds, Console(stderr=True))
    if as_json:
        sys.stdout.write(report.as_json(results, facts) + "\n")
    else:
        report.show(Console(), results, facts)
    if markdown:
        report.into_document(DOCUMENT, results, facts)


if __name__ == "__main__":
    main()
