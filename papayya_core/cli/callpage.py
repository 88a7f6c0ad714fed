"""The text of calls on a page: the end of the prompt, the answer, and what tools gave back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from papayya_core.cli import callwords, show
from papayya_core.cli.calltext import Said, ToolUse
from papayya_core.store.callviews import CallRow

MESSAGES = 3  # the last ones of a prompt
LINES = 12
CHARACTERS = 1200


def print_texts(
    out: Console, calls: Sequence[CallRow], said: dict[int, Said], uses: Iterable[ToolUse]
) -> None:
    """Print what calls said, each under a line that names it."""
    asked: dict[int, list[ToolUse]] = {}
    for use in uses:
        asked.setdefault(use.call, []).append(use)
    for one in calls:
        out.print(_head(one))
        _text(out, said.get(one.id, Said(why="not kept")), asked.get(one.id, []))
        if one.error:
            _part(out, "error", one.error)


def _head(one: CallRow) -> Text:
    where = f", step {one.n}" if one.n else ""
    named = f"call {one.id}{where}: {callwords.model(one)}"
    return Text.assemble((f"\n{named}", "bold"), "  ", callwords.state(one))


def _text(out: Console, said: Said, uses: list[ToolUse]) -> None:
    if said.why is not None:
        out.print(Text(f"  {show.safe(said.why)}", style="dim"), soft_wrap=True)
        return
    if len(said.messages) > MESSAGES:
        out.print(f"  ({len(said.messages) - MESSAGES:,} messages before)", style="dim")
    for message in said.messages[-MESSAGES:]:
        _part(out, message.role, message.text)
    for name, value in (("asked", said.asked), ("answer", said.answer)):
        if value is not None:
            _part(out, name, show.pretty(value))
    if said.text:
        _part(out, "answer", said.text)
    for use in uses:
        _tool(out, use)


def _tool(out: Console, use: ToolUse) -> None:
    _part(out, "wants", f"{use.name} {use.arguments}")
    if use.given_in is None:
        out.print("    nothing was given back", style="dim")
        return
    name = "error" if use.is_error else "given"
    _part(out, f"  {name}", f"{use.content or ''} (in call {use.given_in})")


def _part(out: Console, name: str, text: str) -> None:
    head, *rest = clip(text).split("\n")
    out.print(Text.assemble((f"  {show.safe(name)}: ", "dim"), show.safe(head)), soft_wrap=True)
    for line in rest:
        out.print(Text(f"    {show.safe(line)}"), soft_wrap=True)


def clip(text: str) -> str:
    """Cut what would fill the screen, and say so."""
    cut = "\n".join(text[:CHARACTERS].split("\n")[:LINES])
    return cut if len(cut) == len(text) else f"{cut} … ({len(text):,} characters: --json has all)"
