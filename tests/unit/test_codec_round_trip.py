"""What goes in comes back, as text that Postgres keeps."""

from __future__ import annotations

import json
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papayya_core.codec import MAX_DEPTH, Unencodable, decode, encode, plain
from tests.unit.codec_values import (
    Access,
    Answer,
    Colour,
    Label,
    Level,
    Point,
    TaggedPoint,
    Ticket,
    same,
    text,
    values,
)

BERLIN = ZoneInfo("Europe/Berlin")


def refuse_constant(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")


def reparse(written: str) -> Any:
    return json.loads(written, parse_constant=refuse_constant)


def strings(node: Any) -> Iterator[str]:
    """Walk through all strings of parsed JSON, keys included."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for part in [*node, *node.values()] if isinstance(node, dict) else node:
            yield from strings(part)


@settings(deadline=None, max_examples=300)
@given(values)
def test_every_supported_value_comes_back(value: Any) -> None:
    """Any mix of supported values comes back equal and of the same types."""
    assert same(value, decode(encode(value)))


@settings(deadline=None, max_examples=150)
@given(values)
def test_text_is_safe_for_postgres(value: Any) -> None:
    """The text is strict JSON in valid UTF-8, without a NUL in any of its strings."""
    written = encode(value)

    assert "\x00" not in written
    assert written.encode("utf-8")
    assert not any("\x00" in part for part in strings(reparse(written)))


@settings(deadline=None, max_examples=150)
@given(values)
def test_every_value_has_a_plain_view(value: Any) -> None:
    """The plain view of any value is strict JSON that can be printed."""
    shown = json.dumps(plain(encode(value)), allow_nan=False, ensure_ascii=False)

    assert shown.encode("utf-8")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | text | st.floats(allow_nan=False),
    lambda parts: st.lists(parts) | st.dictionaries(text | st.sampled_from(["$a", "$set"]), parts),
    max_leaves=15,
)


@settings(deadline=None, max_examples=150)
@given(json_values)
def test_json_like_values_come_back(value: Any) -> None:
    """Values made of JSON types come back, whatever their strings and keys look like."""
    assert same(value, decode(encode(value)))


@settings(deadline=None, max_examples=100)
@given(st.recursive(st.none() | st.integers(), lambda p: st.dictionaries(st.text("ab$é"), p)))
def test_json_is_written_as_it_is(value: Any) -> None:
    """A value that JSON can hold, without a look-alike of a tag in it, is not dressed up."""
    written = encode(value)

    if '"$' not in written:
        assert json.dumps(value, ensure_ascii=False, separators=(",", ":")) == written


@pytest.mark.parametrize(
    "value",
    [
        {"$datetime": "2026-11-21"},
        {"$dict": [["a", 1]]},
        {"$model": {"type": "os:system", "fields": {}}},
        {"$unknown": None},
        {"$": {"$": {"$x:tag": []}}},
        {"$a": 1, "$b": 2},
        {"$a\x00": 1},
        {"a": {"$set": [1]}, "$b": 1},
        ["$set", {"$tuple": "x"}],
        {1: "a", "1": "b", None: "c", (1, "1"): "e", b"1": "f", Colour.RED: "g"},
        {True: 1, "True": 2, "true": 3},
        {float("inf"): 1},
        {"b": 1, "a": {"z": 1, "y": 2}},
    ],
    ids=repr,
)
def test_odd_dicts_come_back(value: Any) -> None:
    """Look-alikes of tags and keys of any type come back, in their order."""
    assert same(value, decode(encode(value)))


@pytest.mark.parametrize(
    "value",
    [
        datetime.min,  # noqa: DTZ901
        datetime.max.replace(tzinfo=BERLIN),
        datetime.min.replace(tzinfo=ZoneInfo("Asia/Kolkata")),
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN),
        datetime(2026, 10, 25, 2, 30, fold=1),  # noqa: DTZ001
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(seconds=1, microseconds=5))),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1), "CET")),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(0), "UTC")),
        time(2, 30, fold=1, tzinfo=BERLIN),
        time(2, 30, 1, 5),
    ],
    ids=str,
)
def test_moments_keep_zone_and_fold(value: Any) -> None:
    """Datetimes and times come back with their zone, its name and the fold."""
    assert same(value, decode(encode(value)))


@pytest.mark.parametrize(
    "value",
    [
        Colour.RED,
        Colour.OBJECT,
        Level.HIGH,
        Label.BILLING,
        Access.READ | Access.WRITE,
        ~Access.READ,
    ],
    ids=repr,
)
def test_enum_members_come_back_identical(value: Any) -> None:
    """An enum member comes back as the member itself."""
    assert decode(encode(value)) is value


@pytest.mark.parametrize("bits", [63, 64, 1999, 2000, 2001, 100_000])
def test_integers_of_any_size_come_back(bits: int) -> None:
    """Integers beyond Python's limit on decimal digits come back exactly, at any sign."""
    value = [1 << bits, -(1 << bits), {-1 << bits: None}]

    assert same(value, decode(encode(value)))


def test_collections_come_back() -> None:
    """The common classes of ``collections`` keep their order, factory and length limit."""
    value = [
        OrderedDict([("b", 1), ("a", 2)]),
        Counter("hello"),
        defaultdict(list, {1: [2]}),
        defaultdict(None, {}),
        deque([1, (2,)], maxlen=3),
    ]

    assert same(value, decode(encode(value)))


def test_named_tuples_keep_attributes() -> None:
    """A named tuple's subclass comes back with its class and its attributes."""
    value = TaggedPoint(1, (2,))
    value.note = {3}  # type: ignore[attr-defined]

    assert same(value, decode(encode([value]))[0])


def test_dataclasses_keep_what_is_no_field() -> None:
    """Attributes set outside the fields come back; what is cached is computed again."""
    ticket = Ticket("a")
    assert ticket.shouted == "A"

    back = decode(encode(ticket))

    assert back.note == "not a field"
    assert back.length == -1
    assert "shouted" not in vars(back)
    assert back.shouted == "A"


def test_unset_fields_stay_unset() -> None:
    """A field that was never set is not invented."""
    ticket = Ticket("a")
    del ticket.length

    assert not hasattr(decode(encode(ticket)), "length")


def test_nothing_is_shared_with_the_original() -> None:
    """Changing the value afterwards does not change what was written."""
    value = {"rows": [1]}
    written = encode(value)
    value["rows"].append(2)

    assert decode(written) == {"rows": [1]}


def nest(wrap: Callable[[Any], Any], depth: int) -> Any:
    value: Any = "core"
    for _ in range(depth):
        value = wrap(value)
    return value


WRAPS: dict[str, Callable[[Any], Any]] = {
    "list": lambda part: [part],
    "dict": lambda part: {"a": part},
    "pairs": lambda part: {1: part},
    "tuple": lambda part: (part,),
    "defaultdict": lambda part: defaultdict(list, {1: part}),
}


def call_below(frames: int, work: Callable[[], Any]) -> Any:
    return work() if frames == 0 else call_below(frames - 1, work)


@pytest.mark.parametrize("kind", WRAPS)
def test_the_deepest_value_fits_under_a_full_stack(kind: str) -> None:
    """A value at the depth limit comes back even where the caller's stack is nearly full."""
    value = nest(WRAPS[kind], MAX_DEPTH)
    frames = sys.getrecursionlimit() - 200

    written = call_below(frames, lambda: encode(value))
    back = call_below(frames, lambda: decode(written))

    assert encode(back) == written


@pytest.mark.parametrize("kind", WRAPS)
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 20_000])
def test_deeper_values_are_refused(kind: str, depth: int) -> None:
    """Beyond the limit every kind of nesting is refused by name, never by RecursionError."""
    with pytest.raises(Unencodable, match="levels deep"):
        encode(nest(WRAPS[kind], depth))


def test_objects_nest_deep() -> None:
    """Nested objects reach half the depth of plain containers."""
    value = nest(lambda part: Answer(label=part), MAX_DEPTH // 2)

    assert encode(decode(encode(value))) == encode(value)


def test_repeated_parts_are_written_twice() -> None:
    """A part that is reached on two ways is no cycle."""
    shared = Point({1}, 2)

    assert decode(encode([shared, {"again": shared}])) == [shared, {"again": shared}]
