"""The page of one item, for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from papayya_core import owner
from papayya_core.cli import callpage, callwords, show, waterfall
from papayya_core.cli.calltext import Said, ToolUse
from papayya_core.store.callviews import CallRow
from papayya_core.store.details import DispatchView, FindingView, ItemFacts, StepView
from papayya_core.store.reads import ItemRow

LINES = 60
CHARACTERS = 6000


@dataclass(frozen=True, slots=True)
class Cuts:
    """How much of an item is shown: so many steps, and the text of so many calls."""

    steps: int
    texts: int

    @property
    def calls(self) -> int:
        """As many calls as steps, and those whose text was asked for."""
        return max(self.steps, self.texts)


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that one item's page shows; calls and steps in order, one more than is shown."""

    item: ItemRow
    facts: ItemFacts
    steps: list[StepView]
    calls: list[CallRow]
    said: dict[int, Said]
    uses: list[ToolUse]
    dispatches: list[DispatchView]
    findings: list[FindingView]


def print_page(out: Console, page: Page, cuts: Cuts) -> None:
    """Print everything, up to the cuts."""
    for line in _head(page):
        out.print(line)
    _findings(out, page.findings)
    _body(out, "Input", page.facts.has_input, page.facts.input)
    if page.item.state == "completed":
        _body(out, "Output", page.facts.has_output, page.facts.output)
    _steps(out, page, cuts)
    _texts(out, page, cuts.texts)
    _dispatches(out, page.dispatches)


def _head(page: Page) -> Iterator[Text | str]:
    one, facts = page.item, page.facts
    outcome: list[Any] = ["  outcome ", show.word(one.outcome)] if one.outcome else []
    yield Text.assemble((show.safe(one.key), "bold"), "  ", show.word(one.state), *outcome)
    if one.reason:
        yield f"because     {show.safe(one.reason)}"
    if one.parked_at is not None and one.state == "paused":
        yield f"paused      by {one.paused_by}, since {show.moment(one.parked_at)}"
    elif one.paused_by is not None:
        yield "asked       to pause: it parks at its next step"
    yield f"run         {show.safe(one.run)}"
    yield f"tenant      {show.safe(one.tenant)}"
    version = f", version {show.safe(facts.version)}" if facts.version else ""
    yield f"agent       {show.safe(one.agent)}{version}"
    yield _cost(one)
    yield f"submitted   {show.moment(one.created_at)}"
    if one.finished_at is not None:
        took = f", {show.seconds(_took(one))} after it started" if one.started_at else ""
        yield f"ended       {show.moment(one.finished_at)}{took}"
    if one.due_at is not None:
        yield f"due         {show.moment(one.due_at)}"
    if facts.parent_key:
        yield f"inside      {show.safe(facts.parent_key)}"


def _cost(one: ItemRow) -> Text:
    calls = f", {show.count(one.calls, 'call')}" if one.calls else ""
    return Text.assemble(
        "cost        ",
        callwords.sum_in_words(one.cost_nusd, one),
        f", {one.tokens:,} tokens{calls}",
    )


def _took(one: ItemRow) -> float | None:
    if one.started_at is None or one.finished_at is None:
        return None
    return (one.finished_at - one.started_at).total_seconds()


def _findings(out: Console, findings: list[FindingView]) -> None:
    if findings:
        out.print(Text("\nFindings", style="bold"))
    for one in findings:
        where = f", step {one.n}" if one.n else ""
        history = "  (before a retry)" if one.retired_at else ""
        parts = show.word(one.severity), f"  {show.safe(one.check)}{where}: "
        out.print(Text.assemble(*parts, show.safe(one.reason), history))
        if one.evidence:
            out.print(Text(f"  {clip(show.compact(one.evidence))}", style="dim"))


def _body(out: Console, title: str, stored: bool, value: Any) -> None:
    out.print(Text(f"\n{title}", style="bold"))
    out.print(Text(clip(show.pretty(value)) if stored else "not stored"), soft_wrap=True)


def clip(text: str) -> str:
    """Cut what would fill the screen, and say so."""
    lines = text[:CHARACTERS].split("\n")
    cut = "\n".join(lines[:LINES])
    return cut if len(cut) == len(text) else f"{cut} … ({len(text):,} characters: --json has all)"


def _steps(out: Console, page: Page, cuts: Cuts) -> None:
    steps, calls = page.steps[: cuts.steps], page.calls[: cuts.calls]
    if not steps and not calls:
        return
    title = " and ".join(word for word, some in (("steps", steps), ("calls", calls)) if some)
    out.print(Text(f"\n{title.capitalize()}", style="bold"))
    waterfall.print_waterfall(out, waterfall.tree(steps, calls))
    if len(steps) < len(page.steps) or len(calls) < len(page.calls):
        more = max(cuts.calls, 10) * 10
        out.print(f"only the first {cuts.calls:,}: --steps {more} shows more", style="dim")


def _texts(out: Console, page: Page, limit: int) -> None:
    heard = [one for one in page.calls if one.state != "replayed" and one.id in page.said]
    if not heard or not limit:
        return
    callpage.print_texts(out, heard[:limit], page.said, page.uses)
    if len(heard) > limit:
        more = f"\nthe text of {len(heard) - limit:,} more calls: --calls {len(heard)}"
        out.print(more, style="dim")


def _dispatches(out: Console, dispatches: list[DispatchView]) -> None:
    if not dispatches:
        return
    out.print(Text("\nDeliveries", style="bold"))
    lines = [
        (
            one.fence,
            one.locked_by,
            show.moment(one.started_at),
            show.moment(one.ended_at),
            _end(one),
        )
        for one in dispatches
    ]
    show.grid(out, (">FENCE", "WORKER", "FROM", "TO", "END"), lines)


def _end(one: DispatchView) -> show.Cell:
    if one.ending is not None:
        return show.word(one.ending)
    if owner.is_dead(one.locked_by):
        return "its process is dead; the pump puts the item back"
    if not one.live:
        return "its lease has run out; the pump puts the item back"
    return f"at work; its lease lasts until {show.moment(one.locked_until)}"
