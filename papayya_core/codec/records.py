"""Enums, named tuples and dataclasses: values with a class of the user's.

Objects are rebuilt field by field without running ``__init__``, so that nothing is validated,
counted or fetched a second time. What a class gained since takes its default; what it lost makes
the value undecodable.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from enum import Enum, Flag
from typing import TYPE_CHECKING, Any, TypeVar

from papayya_core.codec.classes import expect_kind, resolve
from papayya_core.codec.failures import Refused, Undecodable
from papayya_core.codec.scalars import Wire, write_int

if TYPE_CHECKING:
    from papayya_core.codec.pack import Packer

T = TypeVar("T")
_RUNTIME = {"__orig_class__"}  # set by typing on instances of parametrised generics


def pack_enum(packer: Packer, value: Enum) -> Wire:
    """Write a member by its name, with its value for those who read without the class."""
    cls = type(value)
    if isinstance(value, Flag):
        return {"$flag": [packer.refer(cls), write_int(value.value)]}
    if cls.__members__.get(value.name) is not value:
        raise Refused("it is no named member of its enum")
    shown = value.value if type(value.value) in (str, int, bool) else None
    return {"$enum": [packer.refer(cls), packer.pack(value.name), packer.pack(shown)]}


def restore_enum(payload: list[Any]) -> Enum:
    reference, name, _ = payload
    cls = resolve(reference)
    expect_kind(cls, Enum, "an enum")
    if name not in cls.__members__:
        raise Undecodable(f"the enum {reference} no longer has the member {name}; bring it back")
    member: Enum = cls.__members__[name]
    return member


def restore_flag(payload: list[Any]) -> Flag:
    reference, value = payload
    cls = resolve(reference)
    expect_kind(cls, Flag, "a flag")
    flag: Flag = cls(value)
    return flag


def pack_namedtuple(packer: Packer, value: Any) -> Wire:
    names = type(value)._fields
    if len(names) != len(value):
        raise Refused("it has more or fewer elements than its class has fields")
    state = dict(zip(names, value, strict=True)) | own_attributes(value)
    return {"$namedtuple": pack_fields(packer, packer.refer(type(value)), names, state)}


def restore_namedtuple(parts: dict[str, Any]) -> tuple[Any, ...]:
    cls = resolve(parts["type"])
    expect_kind(cls, tuple, "a named tuple")
    if not hasattr(cls, "_fields"):
        raise Undecodable(f"{parts['type']} was saved as a named tuple, and it is none")
    fields = complete(parts, cls._fields, lambda name: cls._field_defaults[name])
    rebuilt: tuple[Any, ...] = tuple.__new__(cls, [fields[name] for name in cls._fields])
    return set_attributes(rebuilt, parts.get("more", {}))


def pack_dataclass(packer: Packer, value: Any) -> Wire:
    cls: Any = type(value)
    object.__new__(cls)  # fails for subclasses of dict, Exception, …, which cannot be rebuilt
    names = [field.name for field in dataclasses.fields(cls)]
    return {"$dataclass": pack_fields(packer, packer.refer(cls), names, own_attributes(value))}


def restore_dataclass(parts: dict[str, Any]) -> Any:
    cls = resolve(parts["type"])
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise Undecodable(f"{parts['type']} was saved as a dataclass, and it is none")
    declared = {field.name: field for field in dataclasses.fields(cls)}
    fields = complete(parts, declared, lambda name: _dataclass_default(declared[name]))
    return set_attributes(object.__new__(cls), fields | parts.get("more", {}))


def _dataclass_default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    raise KeyError(field.name)


def own_attributes(value: object) -> dict[str, Any]:
    """Read what the instance itself holds, in ``__dict__`` and in slots, without caches."""
    state = object.__getstate__(value)  # type: ignore[attr-defined, unused-ignore]
    in_dict, in_slots = state if isinstance(state, tuple) else (state, None)
    return without_caches(type(value), {**(in_dict or {}), **(in_slots or {})})


def without_caches(cls: type, state: dict[str, Any]) -> dict[str, Any]:
    """Leave out cached properties, which the class computes again."""
    return {
        name: part
        for name, part in state.items()
        if name not in _RUNTIME
        and not isinstance(getattr(cls, name, None), functools.cached_property)
    }


def set_attributes(target: T, attributes: dict[str, Any]) -> T:
    """Set attributes even on frozen objects."""
    for name, part in attributes.items():
        object.__setattr__(target, name, part)
    return target


def pack_fields(
    packer: Packer, reference: Wire, names: Iterable[str], state: dict[str, Any]
) -> dict[str, Wire]:
    """Write the declared fields, which of them were never set, and other attributes."""
    names = list(names)
    fields = {name: state[name] for name in names if name in state}
    more = {name: part for name, part in state.items() if name not in fields}
    parts = {"type": reference, "fields": packer.pack(fields)}
    if len(fields) < len(names):
        parts["absent"] = [name for name in names if name not in fields]
    if more:
        parts["more"] = packer.pack(more)
    return parts


def complete(
    parts: dict[str, Any], declared: Iterable[str], default: Callable[[str], Any]
) -> dict[str, Any]:
    """Match saved fields with those the class declares now; ``default`` raises KeyError for none."""
    declared, fields = list(declared), dict(parts["fields"])
    if lost := fields.keys() - set(declared):
        raise Undecodable(f"{parts['type']} no longer has the field {min(lost)}; bring it back")
    for name in declared:
        if name not in fields and name not in parts.get("absent", ()):
            try:
                fields[name] = default(name)
            except KeyError:
                raise Undecodable(
                    f"{parts['type']} has a new field {name} without a default; give it one"
                ) from None
    return fields
