"""Digests: one value, one hash, in every process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter, OrderedDict, defaultdict
from datetime import date, datetime, tzinfo
from typing import Any

import pytest
from hypothesis import given, settings

from papayya_core.codec import MAX_DEPTH, arguments_digest, digest, encode
from tests.unit.codec_values import Answer, Colour, Loose, Page, Point, Usage, values


class Money(int):
    pass


class Rows(list[Any]):
    pass


@settings(deadline=None, max_examples=150)
@given(values)
def test_digests_are_stable(value: Any) -> None:
    """Writing a value twice gives one digest, for checkpoints and for step keys."""
    assert digest(encode(value)) == digest(encode(value))
    assert arguments_digest((value,), {}) == arguments_digest((value,), {})


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}),
        ({1: "a", "1": "b"}, {"1": "b", 1: "a"}),
        ({"at": date.max, "a": 1}, {"a": 1, "at": date.max}),
        ({3, 1, 2}, {2, 3, 1}),
        (defaultdict(int, {1: 2, 3: 4}), defaultdict(int, {3: 4, 1: 2})),
        (Counter("ab"), Counter("ba")),
        (Usage(prompt=0), Usage()),
        (Page(rows=[1]), Page[int](rows=[1])),
    ],
    ids=str,
)
def test_equal_values_have_equal_digests(left: Any, right: Any) -> None:
    """The order of keys and elements does not count, nor what pydantic's == leaves out."""
    assert left == right
    assert digest(encode(left)) == digest(encode(right))
    assert arguments_digest((left,), {}) == arguments_digest((right,), {})


DIFFERENT: list[Any] = [
    *(1, 1.0, True, "1", b"1", None, "None", 0, 0.0, False, "", [], (), {}, set(), frozenset()),
    *([1], (1,), {1}, {"a": 1}, {1: 1}, {"1": 1}, [[1]], [1, 2], [2, 1], Point(1, 2), (1, 2)),
    *("\x00", "\\u0000", "\\0000", "\u2400", "\ud800"),
    *(OrderedDict(a=1, b=2), OrderedDict(b=2, a=1), {"a": 1, "b": 2}),
    *({"$set": []}, {"$tuple": [1]}, Colour.RED, "red", "RED"),
    *(
        Answer(label=1),
        Answer(label=2),
        Usage(),
        Usage(prompt=1),
        Page(rows=[1]),
    ),
    *(10**40, 1e40, 2**53, 2**53 + 1, float(2**53), float("nan"), "nan", float("inf")),
]


def test_different_values_have_different_digests() -> None:
    """1, 1.0, True and "1" are four values; so is every look-alike of a tag."""
    checkpoints = {digest(encode(value)) for value in DIFFERENT}
    keys = {arguments_digest((value,), {}) for value in DIFFERENT}

    assert len(checkpoints) == len(keys) == len(DIFFERENT)
    assert {len(found) for found in checkpoints | keys} == {32}


def test_no_arguments_have_no_digest() -> None:
    """A step without arguments is told apart from one whose argument is None."""
    assert arguments_digest((), {}) == b""
    assert arguments_digest((None,), {}) != b""


def test_positions_and_names_count() -> None:
    """An argument by position, by name and under another name gives three keys."""
    keys = {
        arguments_digest((1, 2), {}),
        arguments_digest((2, 1), {}),
        arguments_digest((1,), {"b": 2}),
        arguments_digest((1,), {"c": 2}),
        arguments_digest(([1, 2],), {}),
    }

    assert len(keys) == 5
    assert arguments_digest((), {"a": 1, "b": 2}) == arguments_digest((), {"b": 2, "a": 1})


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (object(), object()),
        (threading.Lock(), threading.Lock()),
        (lambda: 1, lambda: 2),
        ([object(), 1], [object(), 1]),
        ({"client": object()}, {"client": object()}),
        (Answer(label=object()), Answer(label=object())),
        (iter([1]), iter([2])),
    ],
    ids=["object", "lock", "lambda", "list", "dict", "field", "iterator"],
)
def test_opaque_parts_count_by_type(left: Any, right: Any) -> None:
    """Two clients of one class give one key, wherever in the arguments they stand."""
    assert arguments_digest((left,), {}) == arguments_digest((right,), {})


def local(value: Any) -> Any:
    class Local(Usage):
        pass

    return Local(nested=value)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (object(), threading.Lock()),
        (Money(1), Money(2)),
        (Money(1), 1),
        (Rows([1]), Rows([2])),
        (Rows([1]), [1]),
        (local(1), local(2)),
        (Answer(label=[object(), 1]), Answer(label=[object(), 2])),
        (type("Stamp", (datetime,), {})(2026, 1, 1), type("Stamp", (datetime,), {})(2026, 1, 2)),
        ([object(), 1], [1, object()]),
    ],
    ids=["types", "int", "plain int", "rows", "plain rows", "local", "field", "stamp", "order"],
)
def test_what_surrounds_opaque_parts_counts(left: Any, right: Any) -> None:
    """What cannot be kept still tells keys apart where its content is known."""
    assert arguments_digest((left,), {}) != arguments_digest((right,), {})


class Hostile(tzinfo):
    def utcoffset(self, moment: datetime | None) -> Any:
        raise RuntimeError("boom")

    def dst(self, moment: datetime | None) -> Any:
        raise RuntimeError("boom")

    def tzname(self, moment: datetime | None) -> Any:
        raise RuntimeError("boom")


class Explosive:
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("boom")


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.extend([value, value, {"again": value}])
    return value


def cyclic_rows() -> Rows:
    value = Rows()
    value.extend([value, value])
    return value


def deep() -> Any:
    value: Any = object()
    for _ in range(MAX_DEPTH * 50):
        value = (value,)
    return value


AWKWARD: dict[str, Any] = {
    "explosive": Explosive(),
    "zone": datetime(2026, 1, 1, tzinfo=Hostile()),
    "cycle": cyclic(),
    "cycle of a subclass": cyclic_rows(),
    "deep": deep(),
    "huge": 1 << 99_999,
}


@pytest.mark.parametrize("case", AWKWARD)
def test_digests_of_arguments_never_raise(case: str) -> None:
    """Whatever a step is given, it gets a key, and the same one again."""
    value = AWKWARD[case]

    assert len(arguments_digest((value,), {"b": 1})) == 32
    assert arguments_digest((value,), {"b": 1}) == arguments_digest((value,), {"b": 1})


def test_iterators_are_not_consumed() -> None:
    """Hashing arguments does not read from a generator."""
    numbers = (n for n in [1, 2, 3])

    arguments_digest((numbers,), {})

    assert list(numbers) == [1, 2, 3]


SCRIPT = """
import enum, threading, uuid
from papayya_core.codec import arguments_digest, digest, encode
class Colour(enum.Enum):
    RED = object()
value = {
    "words": {"a", "b", "c", "dd", "é", 1, None, (1, "x"), uuid.UUID(int=1), frozenset("xyz")},
    "more": {frozenset({"p", "q"}): {"r", "s"}, Colour.RED: 1},
}
print(digest(encode(value)).hex(), encode(value["words"]))
print(arguments_digest((value, threading.Lock()), {"f": print, "o": object(), "s": {"a", object()}}).hex())
"""


def test_digests_do_not_depend_on_the_process() -> None:
    """Processes with different hash seeds agree on digests, and on the text of sets."""
    printed = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "77")
    }

    assert len(printed) == 1


def test_models_with_extras_count_their_extras() -> None:
    """Extra fields of a model are part of its value."""
    extras: list[dict[str, Any]] = [{}, {"b": 1}, {"b": 2}]

    keys = {digest(encode(Loose(id="a", **extra))) for extra in extras}

    assert len(keys) == 3
