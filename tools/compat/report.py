"""Tables of what both sides came to, and of every test on which they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tools.compat.verdicts import STATUSES, Pair, Result, best

ALWAYS = {"passed", "skipped", "failed"}


def head(console: Console, pairs: Sequence[Pair], facts: Mapping[str, str]) -> None:
    """Print what was run, on what, and the counts of both sides."""
    console.print(f"Celery's suite: {len(pairs)} tests of canvas and tasks, on Redis")
    console.print(" · ".join(f"{name} {value}" for name, value in facts.items()), style="dim")
    console.print(counts(pairs))


def show_baseline(console: Console, pairs: Sequence[Pair]) -> None:
    """Print which tests don't pass by themselves."""
    _list(console, "flaky: runs disagree", "yellow", [p for p in pairs if p.flaky])
    _list(console, "failed", "dim", [p for p in pairs if best(p.bare) == STATUSES.index("failed")])


def show(console: Console, pairs: Sequence[Pair]) -> None:
    """Print the tests that are worth a look, and the verdict."""
    worse = [pair for pair in pairs if pair.worse]
    flaky = [pair for pair in pairs if pair.flaky and not pair.worse]
    rest = [pair for pair in pairs if pair not in worse and pair not in flaky]
    _list(console, "different: worse with the installation", "bold red", worse)
    _list(console, "flaky: runs of one side disagree", "yellow", flaky)
    _list(console, "better with the installation", "cyan", [p for p in rest if p.better])
    _list(console, "failed on both sides", "dim", [p for p in rest if _fails_twice(p)])
    verdict = f"real differences: {len(worse)}" if worse else "no real difference"
    console.print(verdict, style="bold red" if worse else "bold green")


def counts(pairs: Sequence[Pair]) -> Table:
    """Count the tests of each side by their best run, and add up the time of the first runs."""
    sides = {"bare": [pair.bare for pair in pairs], "installed": [pair.ours for pair in pairs]}
    ran = {name: side for name, side in sides.items() if any(side)}
    table = Table("", *ran, box=box.SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    found = [Counter(map(_status, side)) for side in ran.values()]
    for status in STATUSES:
        if any(count[status] for count in found) or status in ALWAYS:
            table.add_row(status, *(str(count[status]) for count in found))
    table.add_section()
    seconds = (sum(runs[0].seconds for runs in side if runs) for side in ran.values())
    table.add_row("seconds, first run", *(f"{each:,.0f}" for each in seconds))
    return table


def _list(console: Console, title: str, style: str, pairs: Sequence[Pair]) -> None:
    if not pairs:
        return
    table = Table(title=f"{title} ({len(pairs)})", title_justify="left", box=box.SIMPLE_HEAD)
    table.title_style = style
    table.add_column("test", overflow="fold", ratio=3)
    table.add_column("bare")
    table.add_column("installed")
    table.add_column("why, at last", overflow="fold", ratio=3)
    for pair in pairs:
        name = pair.test.removeprefix("t/integration/")
        table.add_row(escape(name), _runs(pair.bare), _runs(pair.ours), escape(_why(pair)))
    console.print(table)


def _runs(results: Sequence[Result]) -> str:
    found = Counter(result.status for result in results)
    return ", ".join(f"{n} x {status}" if n > 1 else status for status, n in found.items())


def _why(pair: Pair) -> str:
    reasons = [r.why for r in (*pair.bare, *pair.ours) if r.status in {"failed", "missing"}]
    return reasons[-1] if reasons else ""


def _status(results: Sequence[Result]) -> str:
    """Name the best run's status."""
    failed = STATUSES.index("failed")
    if best(results) < failed:
        return STATUSES[best(results)]
    return "failed" if any(result.status == "failed" for result in results) else "missing"


def _fails_twice(pair: Pair) -> bool:
    return best(pair.bare) == best(pair.ours) == STATUSES.index("failed")
