"""How things look to people: nothing that comes from the database can act on a terminal."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from papayya_core import rules

Cell = str | Text | int | None
# Control characters, what turns the direction of text, line separators, lone surrogates.
UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
NONE = "\N{EN DASH}"
_WIDE = 100_000  # columns; what is not a terminal gets every line whole
NAME_WIDTH = 100
_FRACTION = 4
_BYTE = 0xFF
_FOLD = 16  # columns that folded text keeps at least
STYLES = {
    **dict.fromkeys(("completed", "ok", "on"), "green"),
    **dict.fromkeys(("failed", "lost", "bad", "starved"), "red"),
    **dict.fromkeys(("degraded", "warn", "paused", "draining"), "yellow"),
    **dict.fromkeys(("running", "waiting", "throttled"), "cyan"),
    **dict.fromkeys(("cancelled", "note", "off"), "dim"),
}


def console(*, err: bool = False) -> Console:
    """Return a console that takes text as it is: no markup, no emoji codes, no guessing."""
    file = sys.stderr if err else sys.stdout
    width = None if file.isatty() else int(os.environ.get("COLUMNS") or _WIDE)
    return Console(file=file, width=width, markup=False, emoji=False, highlight=False)


def safe(text: str) -> str:
    """Make visible what a terminal would act on."""
    return UNSAFE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    char = found.group()
    code = ord(char)
    return _NAMED.get(char) or (f"\\x{code:02x}" if code <= _BYTE else f"\\u{code:04x}")


def short(text: str, limit: int = 60) -> str:
    """Put text on one line of at most ``limit`` characters."""
    return safe(text) if len(text) <= limit else safe(text[: limit - 1]) + "…"


def name(text: str | None) -> str | None:
    """Put a key or another name into a cell; the longest are cut."""
    return None if text is None else short(text, NAME_WIDTH)


def money(nusd: int | None) -> str:
    """Show nano-dollars as exact dollars, with at least four digits after the point."""
    if nusd is None:
        return NONE
    whole, _, fraction = f"{rules.usd(nusd):,.9f}".partition(".")
    return f"${whole}.{fraction.rstrip('0').ljust(_FRACTION, '0')}"


def exact(nusd: int) -> str:
    """Write nano-dollars as exact dollars for programs: ``0.0021``."""
    text = f"{rules.usd(nusd):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def moment(at: datetime | None) -> str:
    """Show a time in the local zone."""
    return NONE if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def seconds(value: float | Decimal | None) -> str:
    """Show a duration."""
    if value is None:
        return NONE
    return f"{value:.3f} s" if value < 10 else f"{value:,.1f} s"  # noqa: PLR2004


def rate(value: float | None) -> str:
    """Show a share as a percentage; 100 % means all of them."""
    if value is None:
        return NONE
    return "100 %" if value == 1 else f"{min(value * 100, 99.9):.1f} %"


def count(number: int, one: str, many: str | None = None) -> str:
    """Say ``1 item``, ``2 items``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def go_on(command: str, options: Mapping[str, Any]) -> str:
    """Say how to see more: by the command with these options, but those that are not set."""
    parts = [command]
    for name, value in options.items():
        if value is True:
            parts.append(f"--{name}")
        elif value not in (None, False):
            parts.append(f"--{name} {shlex.quote(safe(str(value)))}")
    return f"there are more; go on with: {' '.join(parts)}"


def word(text: str | None) -> Text:
    """Show a state, outcome or severity in its colour."""
    return Text(NONE) if text is None else Text(safe(text), style=STYLES.get(text, ""))


def grid(out: Console, columns: Sequence[str], lines: Iterable[Sequence[Cell]]) -> None:
    """Print a table without lines; a column named ``>LIKE THIS`` is for numbers.

    What does not fit into the width is printed as a paragraph a line instead of being cut.
    """
    out.print(laid_out(out, columns, lines))


def laid_out(
    out: Console, columns: Sequence[str], lines: Iterable[Sequence[Cell]]
) -> RenderableType:
    """Return what ``grid`` prints, for what is drawn again and again."""
    cells = [list(map(_cell, line)) for line in lines]
    table = _table(columns, cells)
    if _least(out, table) <= out.width:
        return table
    return Group(*_paragraphs([name.lstrip(">") for name in columns], cells))


def fits(out: Console, columns: Sequence[str], lines: Iterable[Sequence[Cell]]) -> bool:
    """Tell whether ``grid`` would print a table."""
    table = _table(columns, [list(map(_cell, line)) for line in lines])
    return _least(out, table) <= out.width


def _table(columns: Sequence[str], cells: list[list[Text]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, name in enumerate(columns):
        widest = max([len(name.lstrip(">")), *(line[number].cell_len for line in cells)])
        if name.startswith(">"):
            table.add_column(name[1:], justify="right", no_wrap=True, min_width=widest)
        else:
            table.add_column(name, overflow="fold", min_width=min(widest, _FOLD))
    for line in cells:
        table.add_row(*line)
    return table


def _least(out: Console, table: Table) -> int:
    return out.measure(table, options=out.options.update(max_width=_WIDE)).minimum


def _paragraphs(names: Sequence[str], lines: Iterable[Sequence[Text]]) -> Iterator[Text]:
    for line in lines:
        rest = [
            part
            for name, cell in zip(names[1:], line[1:], strict=True)
            if cell.plain
            for part in ("  ", Text(f"{name.lower()} " if name else "", style="dim"), cell)
        ]
        yield Text.assemble(line[0].copy(), *rest)


def _cell(value: Cell) -> Text:
    if isinstance(value, Text):
        return value
    if isinstance(value, int):
        return Text(f"{value:,}")
    return Text(NONE if value is None else safe(value))


def pretty(value: Any) -> str:
    """Show a stored value: text as it reads, anything else as JSON; no line can act."""
    if isinstance(value, str):
        return "\n".join(map(safe, value.split("\n")))
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    return "\n".join(map(safe, text.split("\n")))


def compact(value: Any) -> str:
    """Show a stored value on one line."""
    if isinstance(value, str):
        return safe(value)
    return safe(json.dumps(value, ensure_ascii=False, default=str))
