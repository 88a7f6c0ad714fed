"""The figures as a table, as JSON and as a part of docs/benchmarks.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks.measure import Result
from tests.benchmarks.subjects import Bare, Checkpoints, Dbos, Items

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEAD = ("", "workers", "µs per step", "x bare", "CPU µs per step", "client", "server")


class Target(NamedTuple):
    """A promise about one number of workers, what was found, and whether it is kept."""

    text: str
    found: str
    kept: bool


def targets(results: Sequence[Result]) -> list[Target]:
    """Compare with what the project promises of a checkpoint."""
    found: list[Target] = []
    for workers in sorted({result.workers for result in results}):
        by_name = {result.name: result for result in results if result.workers == workers}
        ratio = by_name[Checkpoints.name].times(by_name[Bare.name])
        most = 1.6 if workers == 1 else 1.0
        text = f"{_workers(workers)}: a checkpoint takes at most {most} x a bare INSERT"
        found.append(Target(text, f"{ratio:.2f} x", ratio <= most))
        if Dbos.name in by_name:
            ratio = by_name[Dbos.name].times(by_name[Items.name])
            text = f"{_workers(workers)}: a whole item is at least 5 x faster than with DBOS"
            found.append(Target(text, f"{ratio:.1f} x", ratio >= 5))
    return found


def show(console: Console, results: Sequence[Result], facts: Mapping[str, str]) -> None:
    """Print the table, the targets and the facts."""
    table = Table(*HEAD, box=box.SIMPLE)
    for column in table.columns[1:]:
        column.justify = "right"
    for cells in _cells(results):
        table.add_row(*cells, end_section=cells[0] == results[-1].name)
    console.print(table)
    for target in targets(results):
        mark = "[green]kept[/]" if target.kept else "[red]missed[/]"
        console.print(f"{mark:>16}  {target.text}: {target.found}", highlight=False)
    console.print("\n" + _line(facts), style="dim", highlight=False)


def as_json(results: Sequence[Result], facts: Mapping[str, str]) -> str:
    """Write everything that was measured, round by round, times in µs per step."""
    subjects = [
        {
            "name": result.name,
            "workers": result.workers,
            "rounds": [
                {"wall": s.wall, "client_cpu": s.client, "server_cpu": s.server}
                for s in result.samples
            ],
        }
        for result in results
    ]
    promised = [target._asdict() for target in targets(results)]
    return json.dumps({"facts": dict(facts), "targets": promised, "results": subjects}, indent=2)


def into_document(path: Path, results: Sequence[Result], facts: Mapping[str, str]) -> None:
    """Put the figures between the marks of a Markdown file."""
    lines = [f"Measured: {_line(facts)}.", "", _row(HEAD), "|---|" + "---:|" * (len(HEAD) - 1)]
    lines += map(_row, _cells(results))
    lines += ["", "| target | found | |", "|---|---:|---|"]
    lines += [_row((t.text, t.found, "kept" if t.kept else "**missed**")) for t in targets(results)]
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    text = "\n".join([before + BEGIN, "", *lines, "", END + after])
    path.write_text(text, encoding="utf-8")


def _cells(results: Sequence[Result]) -> list[tuple[str, ...]]:
    bare = {result.workers: result for result in results if result.name == Bare.name}
    return [
        (
            result.name,
            str(result.workers),
            f"{result.wall:,.0f}",
            f"{result.times(bare[result.workers]):.2f}",
            _number(result.cpu),
            _number(result.client),
            _number(result.server),
        )
        for result in results
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _workers(number: int) -> str:
    return "one worker" if number == 1 else f"{number} workers"


def _line(facts: Mapping[str, str]) -> str:
    return " · ".join(f"{name} {value}" for name, value in facts.items())
