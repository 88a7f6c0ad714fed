"""What is stored stays readable: forms on the wire, views, and payload bodies."""

from __future__ import annotations

import datetime as dt
import json
import pathlib
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papayya_core.codec import (
    Undecodable,
    arguments_digest,
    compress,
    decode,
    digest,
    encode,
    expand,
    plain,
)
from papayya_core.store.rows import unpack
from tests.unit.codec_values import (
    Access,
    Answer,
    Colour,
    Label,
    Page,
    Point,
    TaggedPoint,
    Ticket,
    Usage,
    same,
)

C = "tests.unit.codec_values"
BERLIN = ZoneInfo("Europe/Berlin")
HOUR = dt.timezone(dt.timedelta(hours=1))


def tagged_point() -> TaggedPoint:
    point = TaggedPoint(1)
    point.note = "n"  # type: ignore[attr-defined]
    return point


STORED: list[tuple[Any, str, Any]] = [
    ("plain ü", '"plain ü"', "plain ü"),
    ("a\x00\\\udc80", '{"$str":"a\\\\0000\\\\005c\\\\dc80"}', "a\u2400\\\\udc80"),
    (1 << 2001, f'{{"$int":"{1 << 2001:#x}"}}', f"{1 << 2001:#x}"),
    (float("-inf"), '{"$float":"-inf"}', "-inf"),
    (1e22, "1e+22", 1e22),
    (b"\xff", '{"$bytes":"/w=="}', "/w=="),
    (bytearray(b"\xff"), '{"$bytearray":"/w=="}', "/w=="),
    (Decimal("1.50"), '{"$decimal":"1.50"}', "1.50"),
    (Fraction(1, 3), '{"$fraction":[1,3]}', "1/3"),
    (uuid.UUID(int=1), '{"$uuid":"00000000-0000-0000-0000-000000000001"}', str(uuid.UUID(int=1))),
    (1 + 2j, '{"$complex":[1.0,2.0]}', "(1+2j)"),
    (range(1, 9, 2), '{"$range":[1,9,2]}', "range(1, 9, 2)"),
    (pathlib.PurePosixPath("a/b"), '{"$path":["PurePosixPath","a/b"]}', "a/b"),
    (dt.date(2026, 11, 21), '{"$date":"2026-11-21"}', "2026-11-21"),
    (dt.timedelta(1, 2, 3), '{"$timedelta":[1,2,3]}', "1 day, 0:00:02.000003"),
    (dt.time(1, 2), '{"$time":"01:02:00"}', "01:02:00"),
    (
        dt.datetime(2026, 11, 21, 9, tzinfo=HOUR),
        '{"$datetime":"2026-11-21T09:00:00+01:00"}',
        "2026-11-21T09:00:00+01:00",
    ),
    (
        dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN),
        '{"$datetime":["2026-10-25T02:30:00+01:00",1,{"$zoneinfo":"Europe/Berlin"}]}',
        "2026-10-25T02:30:00+01:00",
    ),
    (
        dt.timezone(dt.timedelta(hours=1), "CET"),
        '{"$timezone":[3600000000,"CET"]}',
        [3600000000, "CET"],
    ),
    ((1, (2,)), '{"$tuple":[1,{"$tuple":[2]}]}', [1, [2]]),
    ({3, 1, 2}, '{"$set":[1,2,3]}', [1, 2, 3]),
    (frozenset("b"), '{"$frozenset":["b"]}', ["b"]),
    (
        {1: "a", None: {(1,)}},
        '{"$dict":[[1,"a"],[null,{"$set":[{"$tuple":[1]}]}]]}',
        {"1": "a", "null": [[1]]},
    ),
    ({1: "a", "1": "b"}, '{"$dict":[[1,"a"],["1","b"]]}', [[1, "a"], ["1", "b"]]),
    ({"$date": 1}, '{"$dict":[["$date",1]]}', {"$date": 1}),
    ({"$a": 1, "b": 2}, '{"$a":1,"b":2}', {"$a": 1, "b": 2}),
    (OrderedDict(a=1), '{"$ordereddict":[["a",1]]}', {"a": 1}),
    (Counter("aa"), '{"$counter":[["a",2]]}', {"a": 2}),
    (defaultdict(list, a=[1]), '{"$defaultdict":["list",[["a",[1]]]]}', {"a": [1]}),
    (deque([1], 2), '{"$deque":[[1],2]}', [1]),
    (Colour.RED, f'{{"$enum":["{C}:Colour","RED","red"]}}', "red"),
    (Colour.OBJECT, f'{{"$enum":["{C}:Colour","OBJECT",null]}}', "OBJECT"),
    (Label.BILLING, f'{{"$enum":["{C}:Label","BILLING","billing"]}}', "billing"),
    (Access.READ | Access.WRITE, f'{{"$flag":["{C}:Access",3]}}', 3),
    (
        Point(1),
        f'{{"$namedtuple":{{"type":"{C}:Point","fields":{{"x":1,"y":0}}}}}}',
        {"x": 1, "y": 0},
    ),
    (
        tagged_point(),
        f'{{"$namedtuple":{{"type":"{C}:TaggedPoint","fields":{{"x":1,"y":0}},"more":{{"note":"n"}}}}}}',
        {"x": 1, "y": 0, "note": "n"},
    ),
    (
        Answer(label="a"),
        f'{{"$dataclass":{{"type":"{C}:Answer","fields":{{"label":"a","score":0.5}}}}}}',
        {"label": "a", "score": 0.5},
    ),
    (
        Usage(prompt=1),
        f'{{"$model":{{"type":"{C}:Usage","fields":{{"prompt":1,"completion":0,"nested":null}},"set":["prompt"]}}}}',
        {"prompt": 1, "completion": 0, "nested": None},
    ),
    (
        Page[int](rows=[1]),
        f'{{"$model":{{"type":["{C}:Page","builtins:int"],"fields":{{"rows":[1]}}}}}}',
        {"rows": [1]},
    ),
]


@pytest.mark.parametrize(
    ("value", "text", "shown"), STORED, ids=[repr(case[0])[:40] for case in STORED]
)
def test_forms_on_the_wire_do_not_change(value: Any, text: str, shown: Any) -> None:
    """What older versions wrote is still written, read and shown in the same way."""
    assert encode(value) == text
    assert same(value, decode(text))
    assert plain(text) == shown


def test_digests_do_not_change() -> None:
    """Step keys of items in flight survive an upgrade."""
    text = encode({"rows": [1, 2.5, None, {"b", "a"}], "at": dt.date(2026, 11, 21)})

    assert digest(text).hex() == "918bf53c6c543e5d712d3ac1ed5e0e45da4b2801d1e781231dcdbc23d77d1276"
    assert (
        arguments_digest(("a", 1), {"b": {2, 1}, "c": object()}).hex()
        == "077075901c9f6c34eb8ae7e7b00b556eaf8b1f366a308ac9420012ece0fd4076"
    )
    assert (
        arguments_digest(("a", 1), {"b": [2, 1]}).hex()
        == "16ee6f25be84948699d77638ba5fbafe543f2af64a4fc9c217c83a9bbada4291"
    )


@pytest.mark.parametrize("text", ["", "no json", "[", '{"$date":', "[" * 100_000])
def test_foreign_text_is_shown_as_it_is(text: str) -> None:
    """A view never fails: what is no JSON is shown as text."""
    assert plain(text) == text


@pytest.mark.parametrize(
    "text",
    [
        '{"$dataclass": {"type": "os:system", "fields": {"x": 1}}}',
        '{"$model": 1}',
        '{"$new": [1]}',
        "NaN",
    ],
)
def test_views_import_nothing(text: str) -> None:
    """A view of unknown or damaged tags shows what is there and stays plain JSON."""
    json.dumps(plain(text), allow_nan=False)


def test_views_leave_out_nothing() -> None:
    """Attributes that are no fields are shown too."""
    assert plain(encode(Ticket("a"))) == {
        "text": "a",
        "tags": [],
        "length": -1,
        "note": "not a field",
    }


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=50), st.integers(0, 200))
def test_bodies_come_back(part: bytes, times: int) -> None:
    """A body gives its bytes back, whether it was compressed or not."""
    data = part * times

    codec, body = compress(data)

    assert expand(codec, body) == data
    assert len(body) <= len(data)


def test_small_and_dense_bodies_stay_raw() -> None:
    """Compression is used from 2 kB on, and only where it helps."""
    dense = "".join(chr(0x4E00 + (n * 7919) % 20000) for n in range(1000))

    assert compress(b"a" * 2047)[0] == 0
    assert compress(b"a" * 2048)[0] == 1
    assert compress(dense.encode())[0] in (0, 1)
    assert expand(*compress(dense.encode())).decode() == dense


@pytest.mark.parametrize(("codec", "body"), [(7, b"x"), (1, b"x"), (0, b"\xff")])
def test_damaged_bodies_are_undecodable(codec: int, body: bytes) -> None:
    """An unknown codec or a damaged body is named as such."""
    with pytest.raises(Undecodable):
        unpack(codec, body)
