"""What cannot be kept, or not be given back, says so and what to do."""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime as dt
import enum
import io
import os
import pickle
import struct
import threading
import time
import zoneinfo
from typing import Any, Literal

import pytest
from pydantic import SecretStr, create_model

from papayya_core.codec import Undecodable, Unencodable, encode
from tests.unit.codec_values import Answer, Page, Point, Ticket, Usage

HERE = __name__
SAMPLES = Point.__module__


class Money(int):
    pass


class Name(str):
    __slots__ = ()


class Bag(dict[str, int]):
    pass


@dataclasses.dataclass
class Settings(dict[str, int]):
    debug: bool = False


class Zone(dt.tzinfo):
    def utcoffset(self, moment: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(0)

    def dst(self, moment: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(0)

    def tzname(self, moment: dt.datetime | None) -> str:
        return "Zone"


class Explosive:
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("boom")


def local_class() -> Any:
    @dataclasses.dataclass
    class Local:
        x: int = 1

    return Local()


def local_enum() -> Any:
    return enum.Enum("Made", "A").A  # type: ignore[attr-defined]


async def coroutine() -> None:
    """Never run."""


def keyless_zone() -> zoneinfo.ZoneInfo:
    """Read UTC from the smallest file that describes a zone."""
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    content = b"TZif" + bytes(16) + counts + bytes(6) + b"UTC\x00"
    return zoneinfo.ZoneInfo.from_file(io.BytesIO(content))


def cycle() -> list[Any]:
    value: list[Any] = [1]
    value.append({"back": value})
    return value


REFUSED: dict[str, tuple[Any, str, str]] = {
    "object": (object(), "object", "return plain values"),
    "int subclass": (Money(3), f"{HERE}.Money", "return int(...)"),
    "str subclass": (Name("a"), f"{HERE}.Name", "return str(...)"),
    "dict subclass": (Bag(a=1), f"{HERE}.Bag", "return dict(...)"),
    "dataclass on dict": (Settings(), f"{HERE}.Settings", "reading it raised"),
    "struct": (time.gmtime(0), "time.struct_time", "return tuple(...)"),
    "function": (local_class, "function", "return plain values"),
    "class": (Answer, "type", "return plain values"),
    "module": (os, "module", "return plain values"),
    "generator": ((n for n in [1]), "generator", "return list(...)"),
    "file": (io.BytesIO(), "_io.BytesIO", "return its path or its content"),
    "exception": (ValueError("x"), "ValueError", "return str(...)"),
    "lock": (threading.Lock(), "_thread.lock", "return plain values"),
    "secret": (SecretStr("x"), "pydantic.types.SecretStr", "return plain values"),
    "local class": (local_class(), f"{HERE}.local_class.<locals>.Local", "top level of a module"),
    "local enum": (local_enum(), f"{HERE}.Made", "top level of a module"),
    "made model": (create_model("Made", x=(int, 1))(), f"{HERE}.Made", "top level of a module"),
    "cycle": (cycle()[1], "dict", "contains itself"),
    "zone": (dt.time(1, tzinfo=Zone()), "datetime.time", "zoneinfo.ZoneInfo"),
    "keyless zone": (keyless_zone(), "zoneinfo.ZoneInfo", "use ZoneInfo(key)"),
    "short named tuple": (tuple.__new__(Point, (1,)), f"{SAMPLES}.Point", "more or fewer elements"),
    "type parameter": (
        Page[Literal["a"]](rows=["a"]),
        f"{HERE}.Page[Literal['a']]",
        "parametrise it by classes",
    ),
    "factory": (collections.defaultdict(lambda: 1), "collections.defaultdict", "return dict(...)"),
    "explosive": (Explosive(), f"{HERE}.Explosive", "reading it raised RuntimeError('boom')"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_type_and_way_out(case: str) -> None:
    """An unencodable part is named with its path and type, and the message says what to do."""
    value, type_name, advice = REFUSED[case]

    with pytest.raises(Unencodable) as refused:
        encode({"rows": [0, 1, {"file": value}]})

    assert refused.value.path.startswith("$.rows[2].file")
    assert refused.value.type_name == type_name
    assert advice in str(refused.value)


def test_unawaited_coroutines_say_await() -> None:
    """A coroutine that nobody awaited is named as such."""
    forgotten = coroutine()
    try:
        with pytest.raises(Unencodable, match="await"):
            encode(forgotten)
    finally:
        forgotten.close()


def test_numpy_like_values_get_their_own_advice() -> None:
    """A scalar of numpy is not taken for its base class; the advice names .item()."""
    scalar = type("float64", (float,), {"__module__": "numpy"})(0.5)

    with pytest.raises(Unencodable, match=r"\.item\(\)"):
        encode([scalar])


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (object(), "$"),
        ([object()], "$[0]"),
        ({"a b": object()}, '$["a b"]'),
        ({3: object()}, "$[3]"),
        ({(1,): (1, {object()})}, "$[tuple][1][0]"),
        ({object(): 1}, "$[object]"),
        (Ticket(text=Point(1, object())), "$.text.y"),
        (Usage(nested=[Answer(label=object())]), "$.nested[0].label"),
    ],
    ids=str,
)
def test_paths_lead_to_the_part(value: Any, path: str) -> None:
    """The path of a refusal is written as one would reach the part in Python."""
    with pytest.raises(Unencodable) as refused:
        encode(value)

    assert refused.value.path == path


def test_errors_survive_pickling() -> None:
    """Both errors can be handed between processes."""
    unencodable = pickle.loads(pickle.dumps(Unencodable("$.a", "object", "why")))
    undecodable = pickle.loads(pickle.dumps(Undecodable("why")))

    assert (unencodable.path, unencodable.type_name, unencodable.reason) == ("$.a", "object", "why")
    assert undecodable.why == "why"


def test_replaced_classes_are_refused() -> None:
    """An instance of a class whose name now means another class is refused."""
    stale = copy.copy(Answer(label=1))
    clone = type("Answer", (), {"__module__": Answer.__module__, "__qualname__": "Answer"})
    impostor = dataclasses.make_dataclass("Answer", ["label"], bases=(clone,))
    impostor.__module__ = Answer.__module__

    assert encode(stale)
    with pytest.raises(Unencodable, match="found again"):
        encode(impostor(1))
