"""Classes, strategies and a comparison for the codec's tests."""

from __future__ import annotations

import math
import pathlib
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum, auto
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, ConfigDict, HttpUrl, PrivateAttr, RootModel

T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    OBJECT = object()


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Label(StrEnum):
    BILLING = "billing"
    OTHER = "other"


class Access(Flag):
    READ = auto()
    WRITE = auto()


class Point(NamedTuple):
    x: Any
    y: Any = 0


class TaggedPoint(Point):
    """Its instances have a ``__dict__`` of their own."""


@dataclass
class Ticket:
    text: Any
    tags: list[Any] = field(default_factory=list)
    length: int = field(init=False)

    def __post_init__(self) -> None:
        self.length = -1
        self.note = "not a field"

    @cached_property
    def shouted(self) -> str:
        return str(self.text).upper()

    class Inner(NamedTuple):
        value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    label: Any
    score: Any = 0.5


@dataclass
class Wrapped(Generic[T]):
    content: T


class Usage(BaseModel):
    prompt: int = 0
    completion: int = 0
    nested: Any = None


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)
    id: str
    when: datetime | None = None
    url: HttpUrl | AnyUrl | None = None
    _seen: int = PrivateAttr(default=0)


class Page(BaseModel, Generic[T]):
    rows: list[T]


class Labels(RootModel[list[str]]):
    pass


def same(left: Any, right: Any) -> bool:
    """Tell whether two values are equal in every part and of the same types; NaN equals NaN."""
    if type(left) is not type(right):
        return False
    for kinds, compare in _COMPARISONS:
        if isinstance(left, kinds) and not isinstance(left, Point):
            return compare(left, right)
    return _same_object(left, right)


def _same_container(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        factories = [getattr(value, "default_factory", None) for value in (left, right)]
        return factories[0] is factories[1] and same(list(left.items()), list(right.items()))
    if isinstance(left, deque) and left.maxlen != right.maxlen:
        return False
    return len(left) == len(right) and all(map(same, left, right))


def _same_object(left: Any, right: Any) -> bool:
    if isinstance(left, BaseModel):
        return same(*(BaseModel.__getstate__(model) for model in (left, right)))
    if hasattr(left, "__dataclass_fields__"):
        return same(*(object.__getstate__(value) for value in (left, right)))
    if isinstance(left, Point):
        attributes = [getattr(value, "__dict__", {}) for value in (left, right)]
        return same(tuple(left), tuple(right)) and same(*attributes)
    return bool(left == right)


def _same_float(left: float, right: float) -> bool:
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    return left == right and math.copysign(1, left) == math.copysign(1, right)


def _same_moment(left: Any, right: Any) -> bool:
    zones = [value.tzinfo for value in (left, right)]
    bare = [value.replace(tzinfo=None) for value in (left, right)]
    return (
        bare[0] == bare[1]
        and left.fold == right.fold
        and type(zones[0]) is type(zones[1])
        and zones[0] == zones[1]
        and left.tzname() == right.tzname()
    )


_COMPARISONS: list[tuple[Any, Callable[[Any, Any], bool]]] = [
    (float, _same_float),
    (complex, lambda a, b: _same_float(a.real, b.real) and _same_float(a.imag, b.imag)),
    (Decimal, lambda a, b: bool(a.as_tuple() == b.as_tuple())),
    (datetime | time, _same_moment),
    (set | frozenset, lambda a, b: same(sorted(a, key=repr), sorted(b, key=repr))),
    (dict | list | tuple | deque, _same_container),
]


text = st.text(st.characters(codec=None), max_size=8) | st.sampled_from(
    [
        "",
        "\x00",
        "\ud800",
        "\udc80x\x00",
        "\\u0000",
        "\\0000",
        "$dt",
        '{"$set":[1]}',
        "\ud83d\ude00",
    ]
)
offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23))
zones = st.one_of(
    st.none(),
    st.sampled_from(["Europe/Berlin", "America/New_York", "UTC", "Asia/Kolkata"]).map(ZoneInfo),
    st.builds(timezone, offsets),
    st.builds(timezone, offsets, text),
)
folds = st.sampled_from([0, 1])
moments = st.one_of(
    st.builds(lambda at, fold: at.replace(fold=fold), st.datetimes(timezones=zones), folds),
    st.builds(lambda at, fold: at.replace(fold=fold), st.times(timezones=zones), folds),
)
numbers = st.one_of(
    st.integers(),
    st.sampled_from([2**53 + 1, 10**40, -(10**700)]),
    st.floats(),
    st.sampled_from([1e22, -0.0, 5e-324, math.nan, math.inf, -math.inf]),
    st.decimals(),
    st.sampled_from(["sNaN123", "-NaN", "-0.00", "1E+3", "0E-1000000"]).map(Decimal),
    st.fractions(),
    st.complex_numbers(),
)
keys = st.one_of(  # hashable, and equal to themselves
    st.none(),
    st.booleans(),
    st.integers(),
    text,
    st.binary(max_size=4),
    st.uuids(),
    st.dates(),
    st.sampled_from([Colour.RED, Level.HIGH, Label.BILLING, Access.READ, UUID(int=0)]),
    st.builds(Point, st.integers(), text),
    st.builds(Answer, label=text),
    st.tuples(st.integers(), text),
    st.frozensets(st.integers() | text, max_size=3),
)
leaves = st.one_of(
    keys,
    numbers,
    moments,
    st.builds(bytearray, st.binary(max_size=4)),
    st.timedeltas(),
    st.just(date.max),
    zones,
    st.builds(range, st.integers(), st.integers(), st.integers(1)),
    st.builds(pathlib.PurePosixPath, text.filter(lambda part: "\x00" not in part)),
    st.sampled_from([pathlib.Path("a/b"), pathlib.PureWindowsPath("C:\\x", "y"), pathlib.Path()]),
    st.sampled_from([Colour.OBJECT, Access.READ | Access.WRITE, Access(0)]),
    st.sets(keys.filter(lambda key: not isinstance(key, bool)), max_size=4),
    st.builds(Loose, id=text.filter(str.isascii), _seen=st.integers()),
)


def containers(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Build one more level around the parts."""
    pairs = st.lists(st.tuples(keys, parts), max_size=3)
    return st.one_of(
        st.lists(parts, max_size=4),
        st.lists(parts, max_size=3).map(tuple),
        st.dictionaries(keys, parts, max_size=4),
        st.dictionaries(text | text.map("${}".format), parts, max_size=2),
        pairs.map(OrderedDict),
        pairs.map(lambda found: defaultdict(list, found)),
        st.dictionaries(keys, st.integers(), max_size=3).map(Counter),
        st.builds(deque, st.lists(parts, max_size=3), st.none() | st.integers(1, 5)),
        st.builds(Point, parts, parts),
        st.builds(Ticket.Inner, parts),
        st.builds(Ticket, parts, st.lists(parts, max_size=2)),
        st.builds(Answer, label=parts, score=parts),
        st.builds(Wrapped, parts),
        st.builds(Usage, nested=parts),
        st.builds(lambda part: Usage.model_construct(nested=part, prompt=None), parts),
    )


values = st.recursive(leaves, containers, max_leaves=12)
