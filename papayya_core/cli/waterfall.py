"""The steps of an item and the calls inside them, in order of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rich.console import Console
from rich.text import Text

from papayya_core.cli import callwords, show
from papayya_core.store.callviews import CallRow
from papayya_core.store.details import StepView

COLUMNS = ("STEP", "STATE", ">TRIES", "TOKENS", ">COST", ">TIME", "RESULT")
BAR = 24  # columns
GAP = 0.1  # of the busy time: idle time longer than this is drawn no wider


@dataclass(slots=True)
class Line:
    """A step or a call. ``inside``: what was begun in it. Neither: a step that has no end yet."""

    step: StepView | None = None
    call: CallRow | None = None
    n: int = 0
    inside: list[Line] = field(default_factory=list)

    @property
    def begin(self) -> datetime:
        """When it began; a step that was tried again began with what its first try did."""
        began = [one.begin for one in self.inside]
        mine = self.step or self.call
        return min([mine.started_at, *began] if mine else began)

    @property
    def end(self) -> datetime:
        """When it ended; of what has not, when it began."""
        mine = self.step or self.call
        ends = [one.end for one in self.inside]
        return max([mine.finished_at or mine.started_at, *ends] if mine else ends)


def tree(steps: Sequence[StepView], calls: Iterable[CallRow]) -> list[Line]:
    """Put steps and calls into each other, each level in order of time."""
    lines = [Line(step=one, n=one.n) for one in steps]
    numbered = {line.n: line for line in reversed(lines)}
    scopes = {line.step.scope: line for line in lines if line.step and line.step.scope}
    roots: list[Line] = []
    for line in lines:
        _parent(line, numbered, roots).append(line)
    for one in calls:
        if one.scope and one.scope not in scopes:
            scopes[one.scope] = Line(n=one.n)
            roots.append(scopes[one.scope])
        whose = scopes[one.scope].inside if one.scope else roots
        whose.append(Line(call=one))
    for line in (*lines, *scopes.values()):
        line.inside.sort(key=_order)
    return sorted(roots, key=_order)


def _parent(line: Line, numbered: dict[int, Line], roots: list[Line]) -> list[Line]:
    """Find the list that a step belongs into; a parent was always numbered before it."""
    number = line.step.parent_n if line.step else None
    known = number is not None and number < line.n and number in numbered
    return numbered[number].inside if known and number is not None else roots


def _order(line: Line) -> tuple[datetime, int]:
    return line.begin, line.call.id if line.call else 0


def flat(lines: Iterable[Line], depth: int = 0) -> Iterator[tuple[int, Line]]:
    """Go through a tree from above, with how deep each line lies."""
    for line in lines:
        yield depth, line
        yield from flat(line.inside, depth + 1)


def axis(lines: Sequence[Line]) -> Callable[[datetime], float]:
    """Return where a moment lies, from 0 to 1. Idle time is cut short: a pause may last for days."""
    busy: list[tuple[float, float]] = []
    for begin, end in sorted((one.begin.timestamp(), one.end.timestamp()) for one in lines):
        if busy and begin <= busy[-1][1]:
            busy[-1] = busy[-1][0], max(end, busy[-1][1])
        else:
            busy.append((begin, end))
    longest = GAP * sum(end - begin for begin, end in busy)
    starts: list[float] = []
    for number, (begin, _) in enumerate(busy):
        before = starts[-1] + _length(busy[number - 1]) if number else 0.0
        idle = begin - busy[number - 1][1] if number else 0.0
        starts.append(before + min(idle, longest))
    whole = starts[-1] + _length(busy[-1]) if busy else 0.0

    def place(moment: datetime) -> float:
        at = moment.timestamp()
        number = max(index for index, (begin, _) in enumerate(busy) if begin <= at)
        return (starts[number] + at - busy[number][0]) / whole if whole else 0.0

    return place


def _length(span: tuple[float, float]) -> float:
    return span[1] - span[0]


def print_waterfall(out: Console, lines: list[Line]) -> None:
    """Print a tree, with bars for the time where there is room for them."""
    every = list(flat(lines))
    place = axis([line for _, line in every])
    cells = [_cells(depth, line) for depth, line in every]
    bars = [_bar(line, place, ascii_only=out.options.ascii_only) for _, line in every]
    with_bars = [(*cell[:-1], bar, cell[-1]) for cell, bar in zip(cells, bars, strict=True)]
    wider = (*COLUMNS[:-1], ">WHEN", COLUMNS[-1])
    if show.fits(out, wider, with_bars):
        show.grid(out, wider, with_bars)
    else:
        show.grid(out, COLUMNS, cells)


def _bar(line: Line, place: Callable[[datetime], float], *, ascii_only: bool) -> Text:
    first = min(int(place(line.begin) * BAR), BAR - 1)
    last = min(max(int(place(line.end) * BAR), first), BAR - 1)
    track, bar = ("-", "#") if ascii_only else ("─", "█")
    return Text.assemble(
        (track * first, "dim"),
        bar * (last - first + 1),
        (track * (BAR - 1 - last), "dim"),
    )


def _cells(depth: int, line: Line) -> tuple[show.Cell, ...]:
    if line.call is not None:
        return _call(depth, line.call)
    if line.step is not None:
        return _step(depth, line.step)
    what = Text(f"{'  ' * depth}{line.n}  (a step without an end)", style="dim")
    return what, "", "", "", "", "", ""


def _step(depth: int, one: StepView) -> tuple[show.Cell, ...]:
    kind = "" if one.kind == "task" else f"  ({show.safe(one.kind)})"
    what = Text(f"{'  ' * depth}{one.n}  {show.safe(one.label)}{kind}")
    used = f"{one.tokens:,}" if one.tokens else ""
    cost, took = callwords.sum_of(one.cost_nusd, one), show.seconds(one.seconds)
    return what, show.word(one.state), one.attempts, used, cost, took, _result(one)


def _result(one: StepView) -> str:
    result = one.result
    if one.state == "failed" and isinstance(one.error, dict):
        result = one.error.get("message")
    return "" if one.state in ("started", "unstored") else show.short(show.compact(result))


def _call(depth: int, one: CallRow) -> tuple[show.Cell, ...]:
    kind = "" if one.kind == "llm" else f"  ({one.kind})"
    what = Text(f"{'  ' * depth}   {callwords.model(one)}{kind}")
    used = callwords.tokens(one.tokens, estimated=one.estimated)
    said = callwords.notes(one)
    if one.error:
        said = f"{said}{', ' if said else ''}{show.short(one.error)}"
    cost, took = callwords.cost(one), show.seconds(one.seconds)
    return what, callwords.state(one), "", used, cost, took, said
