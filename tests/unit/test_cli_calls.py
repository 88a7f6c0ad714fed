"""How calls are shown: in trees along time, in words, joined with what tools gave back."""

from __future__ import annotations

import io
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from papayya_core.call import Tokens, ToolCall, ToolResult
from papayya_core.cli import calltext, callwords, waterfall
from papayya_core.cli.calltext import Said
from papayya_core.store.callviews import CallRow
from papayya_core.store.details import StepView

START = datetime(2026, 11, 21, tzinfo=UTC)
EMPTY: dict[str, object] = {
    "id": 1,
    "n": 0,
    "scope": b"",
    "attempt": 1,
    "kind": "llm",
    "state": "answered",
    "model": "toy",
    "rejected": False,
    "resampled": False,
    "unpriced": False,
    "uncertain": False,
    "cost_nusd": 0,
    "sdk_retries": 0,
    "samples": 1,
}

PLAIN: dict[str, object] = {
    "kind": "task",
    "state": "completed",
    "attempts": 1,
    "cost_nusd": 0,
    "uncertain_calls": 0,
    "uncertain_nusd": 0,
    "unbounded_calls": 0,
    "unpriced_calls": 0,
}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def call(begin: float = 0, end: float = 1, **known: object) -> CallRow:
    given = {"started_at": at(begin), "finished_at": at(end), "seconds": end - begin}
    none = dict.fromkeys(each.name for each in fields(CallRow))
    return CallRow(**{**none, **EMPTY, **given, **known})  # type: ignore[arg-type]


def step(n: int, begin: float, end: float, **known: object) -> StepView:
    given = {"n": n, "label": f"s{n}", "scope": bytes([n]), "started_at": at(begin), **PLAIN}
    none = dict.fromkeys(each.name for each in fields(StepView))
    return StepView(**{**none, **given, "finished_at": at(end), **known})  # type: ignore[arg-type]


def shape(lines: list[waterfall.Line]) -> list[str]:
    """Name each line, as deep as it lies."""
    return [
        "." * depth + (f"call {line.call.id}" if line.call else f"step {line.n}")
        for depth, line in waterfall.flat(lines)
    ]


def test_levels_are_in_order_of_time() -> None:
    """A step that was tried again stands where its first call began."""
    calls = [call(2, 3, id=7, scope=b"\x02"), call(5, 6, id=8), call(0, 1, id=9, scope=b"\x01")]
    assert shape(waterfall.tree([step(2, 8, 9), step(1, 7, 7.5)], calls)) == [
        "step 1",
        ".call 9",
        "step 2",
        ".call 7",
        "call 8",
    ]


def test_nothing_is_lost_from_odd_steps() -> None:
    """Two steps of one number, a parent that is missing, or one that was begun later, are shown."""
    steps = [
        step(1, 0, 1),
        step(1, 1, 2, scope=b"x"),
        step(2, 2, 3, parent_n=9),
        step(3, 3, 4, parent_n=4),
        step(4, 4, 5, parent_n=3),
    ]
    assert shape(waterfall.tree(steps, [])) == ["step 1", "step 1", "step 2", "step 3", ".step 4"]


def test_calls_of_a_step_without_an_end_have_a_line() -> None:
    """Calls whose step left no row stand under one line for it."""
    calls = [call(0, 1, id=1, n=3, scope=b"x"), call(1, 2, id=2, n=3, scope=b"x")]
    assert shape(waterfall.tree([], calls)) == ["step 3", ".call 1", ".call 2"]


def test_idle_time_is_cut_short() -> None:
    """A pause of a day takes a tenth of the busy time on the axis."""
    lines = waterfall.tree([], [call(0, 1), call(86_401, 86_402)])
    place = waterfall.axis(lines)
    assert [round(place(at(moment)), 3) for moment in (0, 1, 86_401, 86_402)] == [
        0,
        0.455,
        0.545,
        1,
    ]


def test_no_time_at_all_is_no_error() -> None:
    """Calls that took no measurable time have a place."""
    assert waterfall.axis(waterfall.tree([], [call(0, 0)]))(START) == 0


@pytest.mark.parametrize(("width", "shown"), [(120, True), (75, False), (40, False)])
def test_bars_need_room(width: int, shown: bool) -> None:
    """Bars are there where they fit, and every line is whole either way."""
    out = Console(file=io.StringIO(), width=width, legacy_windows=False)
    waterfall.print_waterfall(out, waterfall.tree([step(1, 0, 2)], [call()]))
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert ("WHEN" in text) == shown
    assert "toy" in text
    assert "s1" in text


@pytest.mark.parametrize(
    ("used", "said"),
    [
        (Tokens(input=5, output=2), "5 → 2"),
        (Tokens(input=1200, cache_read=300, output=88, reasoning=32), "1,200 + 300 cached → 88 (32 reasoning)"),
        (Tokens(cache_write=1, cache_write_1h=2), "0 + 3 written → 0"),
        (None, ""),
    ],
)  # fmt: skip
def test_tokens_are_told_by_class(used: Tokens | None, said: str) -> None:
    """Cached, written and reasoning tokens are named where there are some."""
    assert callwords.tokens(used) == said


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"cost_nusd": 2_000_000}, "$0.0020"),
        ({"cost_nusd": None, "unpriced": True}, "unpriced"),
        ({"state": "uncertain", "uncertain": True, "held_nusd": 10**7}, "≤ $0.0100 uncertain"),
        ({"state": "uncertain", "uncertain": True, "held_nusd": None}, "no bound uncertain"),
        (
            {"state": "broken", "uncertain": True, "held_nusd": 10**7, "cost_nusd": 10**6},
            "$0.0010 + ≤ $0.0100 uncertain",
        ),
        (
            {"state": "broken", "uncertain": True, "unpriced": True, "cost_nusd": None},
            "unpriced + no bound uncertain",
        ),
        ({"state": "pending", "uncertain": True, "held_nusd": 10**7}, "held ≤ $0.0100"),
    ],
)
def test_costs_say_what_they_do_not_know(known: dict[str, object], said: str) -> None:
    """A cost that is not known is never shown as nothing."""
    assert callwords.cost(call(**known)).plain == said  # type: ignore[arg-type]


def test_tools_without_ids_are_matched_in_order() -> None:
    """Where a provider gives no ids, results are matched by name, each once."""
    asked = Said(tool_calls=(ToolCall(None, "f", "1"), ToolCall(None, "f", "2")))
    given = Said(tool_results=(ToolResult(None, "f", "a"), ToolResult(None, "f", "b")))
    uses = calltext.trace([call(id=1), call(id=2)], {1: asked, 2: given})
    assert [(use.arguments, use.content) for use in uses] == [("1", "a"), ("2", "b")]


def test_replays_are_no_second_use_of_a_tool() -> None:
    """What a replayed answer asks for was asked for before."""
    asked = Said(tool_calls=(ToolCall("t", "f", "1"),))
    calls = [call(id=1), replace(call(id=2), state="replayed")]
    assert len(calltext.trace(calls, {1: asked, 2: asked})) == 1
