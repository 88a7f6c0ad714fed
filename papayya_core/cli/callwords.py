"""How the facts of a call look to people; what is not known is yellow wherever it stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.text import Text

from papayya_core.call import Tokens
from papayya_core.cli import show
from papayya_core.store.callviews import CallRow, Doubtful

LOUD = "bold yellow"
STYLES = {
    **dict.fromkeys(("answered",), "green"),
    **dict.fromkeys(("replayed", "pending"), "cyan"),
    **dict.fromkeys(("failed",), "red"),
    **dict.fromkeys(("uncertain", "broken"), "yellow"),
    **dict.fromkeys(("void",), "dim"),
}


def state(one: CallRow) -> Text:
    """Show what became of a call; what follows the comma is about its answer."""
    said = Text(one.state, style=STYLES.get(one.state, ""))
    notes = {"rejected": one.rejected, "resampled": one.resampled, "by hand": one.reconciled_at}
    for note, applies in notes.items():
        if applies:
            said.append(f", {note}", style="yellow")
    return said


def tokens(used: Tokens | None, *, estimated: bool = False) -> str:
    """Show tokens by class: ``1,204 + 300 cached → 88 (32 reasoning)``; ``~`` for an estimate."""
    if used is None:
        return ""
    written = used.cache_write + used.cache_write_1h
    parts = [f"{used.input:,}"]
    parts += [f"{used.cache_read:,} cached"] if used.cache_read else []
    parts += [f"{written:,} written"] if written else []
    said = f"{' + '.join(parts)} → {used.output:,}"
    thought = f" ({used.reasoning:,} reasoning)" if used.reasoning else ""
    return f"{'~' if estimated else ''}{said}{thought}"


def cost(one: CallRow) -> Text:
    """Show what a call cost, and how much of that is not known."""
    known = Text("unpriced", style=LOUD) if one.unpriced else Text(show.money(one.cost_nusd))
    if not one.uncertain:
        return known
    most = "no bound" if one.held_nusd is None else f"≤ {show.money(one.held_nusd)}"
    if one.state == "pending":
        return Text(f"held {most}", style="cyan")
    more = Text(f"{most} uncertain", style=LOUD)
    return Text.assemble(known, " + ", more) if one.unpriced or one.cost_nusd else more


def sum_of(cost_nusd: int | None, doubt: Doubtful) -> Text:
    """Show a sum of money in a table, with what it does not know: ``$0.2000 + ≤ $0.0100``."""
    most = [f"≤ {show.money(doubt.uncertain_nusd)}"] if doubt.uncertain_nusd else []
    most += ["no bound"] if doubt.unbounded_calls else []
    most += [f"{doubt.unpriced_calls:,} unpriced"] if doubt.unpriced_calls else []
    return _with(cost_nusd, most)


def sum_in_words(cost_nusd: int | None, doubt: Doubtful) -> Text:
    """Show a sum of money: ``$0.2000 + ≤ $0.0100 (1 uncertain)``."""
    return _with(cost_nusd, doubts(doubt))


def _with(cost_nusd: int | None, more: Iterable[str]) -> Text:
    said = Text(show.money(cost_nusd))
    for part in more:
        said.append(f" + {part}", style=LOUD)
    return said


def doubts(doubt: Doubtful) -> Iterator[str]:
    """Say what a sum of money lacks."""
    bounded = doubt.uncertain_calls - doubt.unbounded_calls
    if bounded > 0 or doubt.uncertain_nusd:
        yield f"≤ {show.money(doubt.uncertain_nusd)} ({bounded:,} uncertain)"
    if doubt.unbounded_calls:
        yield f"{doubt.unbounded_calls:,} uncertain without a bound"
    if doubt.unpriced_calls:
        yield f"{doubt.unpriced_calls:,} unpriced"


def model(one: CallRow) -> str:
    """Name the model that answered, else the one that was asked; or the tool."""
    return show.short(one.answered_by or one.model)


def notes(one: CallRow) -> str:
    """Say what else is worth a word: how it ended, and what stood in its way."""
    said = [
        one.finish if one.finish and one.state != "replayed" else None,
        f"attempt {one.attempt}" if one.attempt > 1 else None,
        f"HTTP {one.status}" if one.status is not None and one.status >= 400 else None,  # noqa: PLR2004
        f"retry after {one.retry_after:g} s" if one.retry_after is not None else None,
        f"{one.sdk_retries} retries of its client" if one.sdk_retries else None,
        f"first token {show.seconds(one.first_seconds)}" if one.first_seconds is not None else None,
        f"{one.samples} samples" if one.samples > 1 else None,
        f"asks for {', '.join(map(show.short, one.tool_calls))}" if one.tool_calls else None,
        f"of call {one.replay_of}" if one.replay_of is not None else None,
        one.unbounded if one.uncertain and one.unbounded else None,
    ]
    return ", ".join(part for part in said if part)
