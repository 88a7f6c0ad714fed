"""How the command line shows amounts, times and text, and what --json prints."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from rich.console import Console

from papayya_core.cli import documents, show


@pytest.mark.parametrize(
    ("nusd", "shown", "exact"),
    [
        (0, "$0.0000", "0"),
        (2_100_000, "$0.0021", "0.0021"),
        (1, "$0.000000001", "0.000000001"),
        (12_340_000_000, "$12.3400", "12.34"),
        (1_234_567_000_000_000, "$1,234,567.0000", "1234567"),
    ],
)
def test_amounts_are_exact(nusd: int, shown: str, exact: str) -> None:
    """Dollars are shown with four digits or more, and never rounded."""
    assert (show.money(nusd), show.exact(nusd)) == (shown, exact)


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\x9b31m", "\u202egpj", "\x00", "\ud800"])
def test_text_cannot_act_on_a_terminal(text: str) -> None:
    """Control characters, direction marks and lone surrogates are shown as escapes."""
    shown = show.safe(text)
    assert shown.isprintable()
    assert "\\" in shown


def test_ordinary_text_is_shown_as_it_is() -> None:
    """Accents, and the joiners of emoji and of scripts that need them, are no danger."""
    text = "é 👨\u200d👩\u200d👧 a\u200cb"
    assert show.safe(text) == text


def test_nearly_all_is_not_all() -> None:
    """A success rate of 100 % means that nothing failed."""
    assert (show.rate(1.0), show.rate(0.99999), show.rate(None)) == ("100 %", "99.9 %", show.NONE)


def test_amounts_get_dollars_beside_them() -> None:
    """An amount in nano-dollars is given in dollars too, as text."""
    shaped = documents.shape({"cost_nusd": 2_100_000, "budget_nusd": None})
    assert shaped["cost_usd"] == "0.0021"
    assert shaped["budget_usd"] is None


def test_values_of_users_are_not_shaped() -> None:
    """A user's field that ends like ours gets nothing beside it."""
    assert documents.shape({"output": documents.AsIs({"x_nusd": 1})}) == {"output": {"x_nusd": 1}}


def test_times_are_utc() -> None:
    """Times in documents are in UTC whatever zone the server answered in."""
    at = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert documents.shape(at) == datetime(2026, 1, 1, 10, tzinfo=UTC).isoformat()


def test_documents_cannot_act_on_a_terminal() -> None:
    """What JSON would leave unescaped is escaped, and reads back the same."""
    hostile = {"k\x9b": ["\x7f\u202e", "\x1b", "é"]}
    text = documents.dumps(hostile, indent=2)
    assert json.loads(text) == hostile
    assert not show.UNSAFE.search(text.replace("\n", ""))


@pytest.mark.parametrize("width", [10, 30, 79, 200])
def test_tables_lose_no_cell(width: int) -> None:
    """Whatever the width, every number and every part of a name is there."""
    out = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
    names = ("KEY", ">ITEMS", ">COST", "WHY")
    show.grid(
        out, names, [("ticket-0042", 1_234_567, "$0.0021", "it had no label"), ("b", 1, "$2", "")]
    )
    assert isinstance(out.file, io.StringIO)
    shown = "".join(out.file.getvalue().split())
    for part in ("ticket-0042", "1,234,567", "$0.0021"):
        assert part in shown
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown
