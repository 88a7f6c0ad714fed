"""Hashes of values: one value, one hash, in every process.

The order of dict keys and of set elements does not count; the type does: 1, 1.0, True and "1" are
four values. Equal digests therefore do not mean equal text.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date, time
from typing import Any

from papayya_core.codec.advice import BUILTINS
from papayya_core.codec.classes import name_of
from papayya_core.codec.failures import type_name
from papayya_core.codec.pack import Encoders, Packer, dump_sorted
from papayya_core.codec.restore import tag_of
from papayya_core.codec.scalars import Wire
from papayya_core.codec.stack import on_any_stack
from papayya_core.codec.text import dump_plain


def digest(text: str) -> bytes:
    """Hash what ``encode`` wrote: 32 bytes."""
    return _sha256(on_any_stack(_canonical, text))


def arguments_digest(
    args: tuple[Any, ...], kwargs: dict[str, Any], extra: Encoders | None = None
) -> bytes:
    """Hash a step's explicit arguments; never raises, and gives b"" for none.

    What cannot be encoded counts by its type alone (a client, an open file), subclasses of plain
    types and of dates also by their content.
    """
    if not args and not kwargs:
        return b""
    arguments = [list(args), kwargs]
    try:
        text = dump_plain(arguments, dump_sorted)
        if text is None:
            text = on_any_stack(_opaque_text, arguments, extra)
    except Exception:  # noqa: BLE001 - a step must not fail for want of a good key
        text = dump_sorted([type_name(type(part)) for part in (*args, *kwargs.values())])
    return _sha256(text)


class KeyPacker(Packer):
    """Write a value for hashing only: nothing is refused, and no class has to be found again."""

    def refuse(self, value: object, cause: Exception) -> Wire:
        name = type_name(type(value))
        if id(value) in self.open:  # inside itself: its type is all there is to add
            return {"$opaque": [name]}
        self.open.add(id(value))
        try:
            found = self.extra.encode(value) if self.extra is not None else None
            if found is not None:
                return {f"$x:{found[0]}": self.pack(found[1])}
            return {"$opaque": [name, *map(self.pack, _content(value))]}
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001 - user code; the type alone has to do
            return {"$opaque": [name]}
        finally:
            self.open.discard(id(value))

    def refer(self, cls: type) -> str:
        return name_of(cls)

    def refer_model(self, cls: Any) -> str:
        return name_of(cls.__pydantic_generic_metadata__["origin"] or cls)


def _content(value: Any) -> list[object]:
    """Find what tells two values of a type apart that cannot be encoded."""
    if isinstance(value, (date, time)):  # with a zone, or of a subclass, that is not kept
        return [value.isoformat()]
    kind = type(value)
    return [base(value) for base in BUILTINS if issubclass(kind, base) and kind is not base]


def _opaque_text(arguments: object, extra: Encoders | None) -> str:
    return _canonical(dump_sorted(KeyPacker(extra).pack(arguments)))


def _canonical(text: str) -> str:
    return dump_sorted(json.loads(text, object_hook=_settle if '"$' in text else None))


def _settle(node: dict[str, Any]) -> dict[str, Any]:
    """Bring what has no order of its own into one."""
    tag = tag_of(node)
    if tag in ("$set", "$frozenset", "$dict", "$counter"):
        return {tag: sorted(node[tag], key=dump_sorted)}
    if tag == "$defaultdict":
        factory, pairs = node[tag]
        return {tag: [factory, sorted(pairs, key=dump_sorted)]}
    return {tag: _settle_model(node[tag])} if tag == "$model" else node


def _settle_model(parts: dict[str, Any]) -> dict[str, Any]:
    """Leave out what pydantic's == does not ask for: which fields were set, type parameters."""
    cls = parts["type"]
    kept = {name: part for name, part in parts.items() if name != "set"}
    return {**kept, "type": cls[0] if isinstance(cls, list) else cls}


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
