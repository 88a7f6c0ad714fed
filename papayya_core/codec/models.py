"""Pydantic models and URLs, without importing pydantic before somebody uses it.

Models are rebuilt through pydantic's own pickling protocol: nothing is validated again, and what
was set, extra or private stays so. This includes the response models of LLM clients.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from papayya_core.codec.classes import Reference, expect_kind, refer_generic, resolve
from papayya_core.codec.failures import Refused
from papayya_core.codec.records import complete, pack_fields, without_caches
from papayya_core.codec.scalars import Wire, write_str

if TYPE_CHECKING:
    from papayya_core.codec.pack import Packer


def is_model(cls: type) -> bool:
    """Tell a pydantic model class."""
    return _descends(cls, "pydantic.main", "BaseModel")


def is_url(cls: type) -> bool:
    """Tell AnyUrl and its kin."""
    return _descends(cls, "pydantic.networks", "AnyUrl")


def _descends(cls: type, module: str, name: str) -> bool:
    # a module that is absent, or being imported right now, has no instances yet
    base = getattr(sys.modules.get(module), name, None)
    return base is not None and issubclass(cls, base)


def pack_model(packer: Packer, value: Any) -> Wire:
    from pydantic import BaseModel

    cls: type[BaseModel] = type(value)
    state = BaseModel.__getstate__(value)
    extra, private = state["__pydantic_extra__"], state["__pydantic_private__"]
    names = cls.__pydantic_fields__
    attributes = without_caches(cls, state["__dict__"])
    parts = pack_fields(packer, packer.refer_model(cls), names, attributes)
    assigned = state["__pydantic_fields_set__"]
    if assigned != _assigned_by_default(attributes.keys() & names.keys(), extra):
        parts["set"] = packer.pack(sorted(assigned))
    if extra is not None:
        parts["extra"] = packer.pack(extra)
    if private is not None:
        parts["private"] = packer.pack(private)
    return {"$model": parts}


def restore_model(parts: dict[str, Any]) -> Any:
    from pydantic import BaseModel

    cls = resolve(parts["type"])
    expect_kind(cls, BaseModel, "a pydantic model")
    fields = complete(parts, cls.__pydantic_fields__, lambda name: _default(cls, name))
    extra = parts.get("extra")
    assigned = parts.get("set", _assigned_by_default(parts["fields"], extra))
    model = cls.__new__(cls)
    BaseModel.__setstate__(
        model,
        {
            "__dict__": fields | parts.get("more", {}),
            "__pydantic_extra__": extra,
            "__pydantic_fields_set__": set(assigned),
            "__pydantic_private__": parts.get("private"),
        },
    )
    return model


def refer_parametrised(cls: Any) -> Reference:
    """Name a parametrised model, such as ``Page[User]``, or None if it is an ordinary one."""
    metadata = cls.__pydantic_generic_metadata__
    if not metadata["origin"]:
        return None
    reference = refer_generic(metadata["origin"], metadata["args"])
    if resolve(reference) is not cls:
        raise Refused("its type parameters cannot be found again; use plain classes for them")
    return reference


def _assigned_by_default(fields: Any, extra: dict[str, Any] | None) -> set[str]:
    return {*fields, *(extra or {})}


def _default(cls: Any, name: str) -> Any:
    field = cls.__pydantic_fields__[name]
    if field.is_required():
        raise KeyError(name)
    return field.get_default(call_default_factory=True, validated_data={})


def pack_url(packer: Packer, value: object) -> Wire:
    return {"$url": [packer.refer(type(value)), write_str(str(value))]}


def restore_url(payload: list[Any]) -> Any:
    from pydantic import AnyUrl

    reference, text = payload
    cls = resolve(reference)
    expect_kind(cls, AnyUrl, "a URL")
    return cls(text)
