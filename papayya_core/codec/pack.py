"""Turn a value into what JSON can hold: the writing half of the codec.

Types are matched exactly: a subclass that nobody declared here would come back as its base, so it
is refused. Parts that are reached twice are written twice; a value that contains itself is refused.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Protocol

from papayya_core.codec import models, moments, records, scalars
from papayya_core.codec.advice import advise
from papayya_core.codec.classes import Reference, refer
from papayya_core.codec.failures import Refused, Unencodable, type_name
from papayya_core.codec.scalars import Wire

MAX_DEPTH = 200
SHOWN = 16  # segments of a path
FACTORIES: dict[str, type] = {
    kind.__name__: kind for kind in (list, dict, set, int, float, str, tuple, bool)
}
LEAVES = {**scalars.WRITERS, **moments.WRITERS}
dump_sorted = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
).encode


class Encoders(Protocol):
    """Types that plugins add; asked only for values the codec itself refuses.

    ``encode`` gives a tag and any encodable payload; ``decode`` gets both back and gives the
    value. Either gives None for what it does not know.
    """

    def encode(self, value: object) -> tuple[str, Any] | None: ...

    def decode(self, tag: str, payload: Any) -> Any: ...


class Packer:
    """Write one value. Use an instance once: after an error it does not know where it stands."""

    def __init__(self, extra: Encoders | None = None) -> None:
        self.extra = extra
        self.trail: list[object] = []
        self.open: set[int] = set()

    def pack(self, value: object) -> Wire:
        """Write a value or a part of one. Nothing but Unencodable and RecursionError comes out."""
        leaf = LEAVES.get(type(value))
        depth, entered = len(self.trail), False
        try:
            if leaf is not None:
                return leaf(value)
            shape = shape_of(value)
            self._enter(value)
            entered = True
            return shape(self, value)
        except (Unencodable, RecursionError):
            raise
        except Exception as exc:  # noqa: BLE001 - user code runs here: properties, iterators, hooks
            cause = exc
        finally:
            del self.trail[depth:]
            if entered:
                self.open.discard(id(value))
        return self.refuse(value, cause)

    def _enter(self, value: object) -> None:
        if id(value) in self.open:
            raise Refused("it contains itself; return a tree, with keys in place of references")
        if len(self.open) >= MAX_DEPTH:
            raise Refused(f"it is nested more than {MAX_DEPTH} levels deep; return it flatter")
        self.open.add(id(value))

    def refuse(self, value: object, cause: Exception) -> Wire:
        """Ask the plugins; raise Unencodable if none knows the value."""
        path, name = self.path(), type_name(type(value))
        try:
            found = self.extra.encode(value) if self.extra is not None else None
            if found is not None:
                return {f"$x:{found[0]}": self.pack(found[1])}
        except (Unencodable, RecursionError):
            raise
        except Exception as exc:
            raise Unencodable(path, name, f"the plugin that encodes it failed: {exc!r}") from exc
        if isinstance(cause, Refused):
            raise Unencodable(path, name, str(cause)) from None
        raise Unencodable(path, name, f"reading it raised {cause!r}") from cause

    def refer(self, cls: type) -> str:
        """Name a class of the user's."""
        return refer(cls)

    def refer_model(self, cls: type) -> Reference:
        """Name a pydantic model class, with its type parameters."""
        return models.refer_parametrised(cls) or self.refer(cls)

    def path(self) -> str:
        """Say where in the value the packer stands: ``$.rows[3].file``."""
        segments = list(map(_segment, self.trail))
        if len(segments) > SHOWN:
            segments[SHOWN // 2 : -SHOWN // 2] = ["…"]
        return "$" + "".join(segments)

    def sequence(self, values: Iterable[object]) -> list[Wire]:
        """Write parts in order."""
        wires = []
        for index, value in enumerate(values):
            self.trail.append(index)
            wires.append(self.pack(value))
            self.trail.pop()
        return wires

    def pairs(self, mapping: dict[Any, Any]) -> list[Wire]:
        """Write a mapping with keys of any type as ``[[key, value], …]``."""
        wires = []
        for key, value in mapping.items():
            self.trail.append(key)
            wires.append([self.pack(key), self.pack(value)])
            self.trail.pop()
        return wires


Shape = Callable[[Packer, Any], Wire]


def pack_dict(packer: Packer, value: dict[Any, Any]) -> Wire:
    """Write a dict as it is if JSON and the reader will not take it for something else."""
    if not all(map(_is_plain_key, value)) or (len(value) == 1 and next(iter(value))[:1] == "$"):
        return {"$dict": packer.pairs(value)}
    wires = {}
    for key, part in value.items():
        packer.trail.append(key)
        wires[key] = packer.pack(part)
        packer.trail.pop()
    return wires


def _is_plain_key(key: object) -> bool:
    return type(key) is str and scalars.write_str(key) is key


def pack_set(packer: Packer, value: Iterable[object]) -> list[Wire]:
    """Write a set in an order that does not depend on the process."""
    return sorted(packer.sequence(value), key=dump_sorted)


def pack_deque(packer: Packer, value: deque[Any]) -> Wire:
    return {"$deque": [packer.sequence(value), value.maxlen]}


def pack_defaultdict(packer: Packer, value: defaultdict[Any, Any]) -> Wire:
    factory = value.default_factory
    name = getattr(factory, "__name__", None)
    if factory is not None and FACTORIES.get(str(name)) is not factory:
        raise Refused("its default factory cannot be kept; return dict(...) of it")
    return {"$defaultdict": [name, packer.pairs(value)]}


SHAPES: dict[type, Shape] = {
    list: Packer.sequence,
    tuple: lambda packer, value: {"$tuple": packer.sequence(value)},
    dict: pack_dict,
    set: lambda packer, value: {"$set": pack_set(packer, value)},
    frozenset: lambda packer, value: {"$frozenset": pack_set(packer, value)},
    OrderedDict: lambda packer, value: {"$ordereddict": packer.pairs(value)},
    Counter: lambda packer, value: {"$counter": packer.pairs(value)},
    defaultdict: pack_defaultdict,
    deque: pack_deque,
}


def shape_of(value: object) -> Shape:
    """Choose how a value with parts is written."""
    kind = type(value)
    if kind in SHAPES:
        return SHAPES[kind]
    if issubclass(kind, Enum):
        return records.pack_enum
    if models.is_model(kind):
        return models.pack_model
    if dataclasses.is_dataclass(kind):
        return records.pack_dataclass
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return records.pack_namedtuple
    if models.is_url(kind):
        return models.pack_url
    raise Refused(advise(value))


def _segment(where: object) -> str:
    if isinstance(where, str):
        return f".{where}" if where.isidentifier() else f"[{json.dumps(where[:60])}]"
    return f"[{int(where) if isinstance(where, int) else type_name(type(where))}]"
