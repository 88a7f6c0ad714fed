"""What the demo shows: a header, what is worth a line, how far it is, and the closing line."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from papayya import ItemResult
from papayya_core.audit import Audit
from papayya_core.rules import usd
from papayya_core.store.callviews import CallSums

TAGGED = 3  # so many ordinary items get a line
FLAGGED = 20
_PARTS = 10  # lines of progress where there is no terminal
_KEY, _WHAT = 12, 34
_CENTS, _SMALL = Decimal("0.1"), Decimal("0.001")


def money(usd: Decimal) -> str:
    """Show US dollars, with more digits for small amounts."""
    if usd == 0 or usd >= _CENTS:
        return f"${usd:,.2f}"
    return f"${usd:.4f}" if usd >= _SMALL else f"${usd:.6f}"


def printable(text: str) -> str:
    """Replace what a terminal would act on."""
    return "".join(char if char.isprintable() else "?" for char in text)


class Screen:
    """The output of one start; a context manager, for the progress line."""

    def __init__(self, total: int, before: int) -> None:
        self._console = Console(markup=False, emoji=False, highlight=False)
        self._total = total
        self._ended = 0
        self._before = before
        self._tagged = 0
        self._flagged = 0
        self._examples: dict[bool, str] = {}
        self._cost = Decimal(0)
        self._progress = Progress(
            TextColumn("  "),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[cost]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", total=total, cost="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def say(self, text: str = "", style: str = "") -> None:
        """Print a line."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    def result(self, result: ItemResult, *, fresh: bool, waited: str = "") -> None:
        """Take in what came of an item.

        ``fresh``: it ended just now, not in an earlier start. ``waited``: why it had to wait.
        """
        self._ended += 1
        self._examples.setdefault(result.flagged, result.key)
        self._cost += result.cost
        if fresh:
            self._line(result, waited)
        self._progress.update(self._task, completed=self._ended, cost=money(self._cost))
        part = max(1, self._total // _PARTS)
        if not self._console.is_terminal and self._ended % part == 0 and self._ended > self._before:
            self.say(f"  … {self._ended:,} of {self._total:,} · {money(self._cost)}")

    def _line(self, result: ItemResult, waited: str) -> None:
        """Print an item that is worth it: flagged, resumed, or one of the first."""
        if result.flagged:
            self._flagged += 1
            if self._flagged <= FLAGGED:
                self._item(result, f"{_why(result)} → flagged for replay", "yellow", cost=False)
            elif self._flagged == FLAGGED + 1:
                self.say("  … and more: a command at the end lists them", "yellow")
            return
        retried = next((each for each in result.findings if each.check == "retried"), None)
        if retried is not None or " 429" in waited:
            reason = waited or (retried.reason if retried is not None else "")
            why = "429" if " 429" in reason else "tried again"
            self._item(result, f"{why} → {'waited → ' if waited else ''}resumed", "cyan")
        elif result.done and self._tagged < TAGGED:
            self._tagged += 1
            self._item(result, f"tagged: {result.output['category']}", "")
        elif not result.done:
            self._item(result, f"{result.state}: {result.reason}", "yellow", cost=False)

    def _item(self, result: ItemResult, what: str, style: str, *, cost: bool = True) -> None:
        line = f"  {printable(result.key):<{_KEY}} {printable(what):<{_WHAT}}"
        self.say(f"{line} {money(result.cost)}" if cost else line.rstrip(), style)

    @property
    def example(self) -> str | None:
        """The key of an item that is worth a look: the first flagged one, if there is any."""
        return self._examples.get(True) or self._examples.get(False)

    def close(self, report: Audit, calls: CallSums) -> None:
        """Print the closing line, and beneath it what was asked of the model."""
        count = report.totals
        parts = [f"{count.done:,} done", f"{count.flagged:,} flagged"]
        parts += [f"{count.cancelled:,} cancelled"] if count.cancelled else []
        parts += [f"{count.open:,} open"] if count.open else []
        whole = report.explained and not count.open
        mark = "✓" if whole else "!"
        text = " · ".join([*parts, money(usd(count.cost_nusd)), report.dropped_text])
        self.say(f"\n{mark} {text}", "bold green" if whole else "bold yellow")
        self.say(f"  {_asked(calls)}")
        for line in _doubts(calls):
            self.say(f"  {line}", "yellow")


def _asked(calls: CallSums) -> str:
    """Count the calls: nobody but the interceptor has told of them."""
    used = calls.tokens
    parts = [_count(calls.calls), f"{used.prompt:,} tokens in, {used.output:,} out"]
    if calls.replayed_calls:
        saved = money(usd(calls.saved_nusd))
        parts.append(f"{calls.replayed_calls:,} more out of the journal, {saved} saved")
    return " · ".join(parts)


def _doubts(calls: CallSums) -> Iterator[str]:
    """Say what the cost lacks."""
    if calls.uncertain_calls:
        most = money(usd(calls.uncertain_nusd))
        yield f"{_count(calls.uncertain_calls)} cut off, which may have cost up to {most} more"
    if calls.unpriced_calls:
        yield f"{_count(calls.unpriced_calls)} unpriced: papayya prices set tells what they cost"


def _count(calls: int) -> str:
    return f"{calls:,} {'call' if calls == 1 else 'calls'}"


def _why(result: ItemResult) -> str:
    """Name the finding that counts: its check, or for an exception what was raised."""
    finding = next(each for each in result.findings if each.severity != "note")
    if finding.check != "exception":
        return finding.check
    name, _, words = finding.reason.partition(": ")
    return name.lower() if name in {"Refused", "Truncated"} else f"{name}: {words:.60}"
