"""Values to text and back, with a short way for what JSON already knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from papayya_core.codec.failures import Undecodable, Unencodable, type_name
from papayya_core.codec.pack import MAX_DEPTH, Encoders, Packer
from papayya_core.codec.restore import restorer
from papayya_core.codec.scalars import BIG
from papayya_core.codec.stack import on_any_stack

_dump = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode
_SMALL = frozenset({str, bool, float, type(None)})


def encode(value: object, extra: Encoders | None = None) -> str:
    """Write a value as JSON text without NUL, lone surrogates and NaN; raise only Unencodable."""
    text = dump_plain(value, _dump)
    if text is not None:
        return text
    try:
        return on_any_stack(_encode_tagged, value, extra)
    except RuntimeError as exc:  # RecursionError, or no thread to be had
        raise Unencodable("$", type_name(type(value)), f"no room to write it: {exc}") from exc


def decode(text: str, extra: Encoders | None = None) -> Any:
    """Read what ``encode`` wrote; raise only Undecodable."""
    hook = restorer(extra) if '"$' in text else None
    try:
        return on_any_stack(json.loads, text, object_hook=hook)
    except (ValueError, RuntimeError) as exc:
        raise Undecodable(f"the stored text cannot be read: {exc}") from exc


def dump_plain(value: object, dump: Callable[[Any], str]) -> str | None:
    """Write a value that needs no tags, or return None."""
    try:
        if type(value) not in _SMALL and not _is_plain(value, MAX_DEPTH):
            return None
        text = dump(value)
    except (ValueError, TypeError, RuntimeError):  # NaN, too deep, or changed meanwhile
        return None
    return text if _is_storable(text) else None


def _encode_tagged(value: object, extra: Encoders | None) -> str:
    return _dump(Packer(extra).pack(value))


def _is_plain(value: Any, room: int) -> bool:  # noqa: PLR0911 - the hot path, flat
    kind = type(value)
    if kind is int:
        return bool(-BIG < value < BIG)
    if room == 0:
        return False
    if kind is dict:
        if len(value) == 1 and next(iter(value))[:1] == "$":
            return False
        for key in value:
            if type(key) is not str:
                return False
        value = value.values()
    elif kind is not list:
        return False
    for part in value:  # noqa: SIM110 - a generator would double the time
        if type(part) not in _SMALL and not _is_plain(part, room - 1):
            return False
    return True


def _is_storable(text: str) -> bool:
    if "\\u0000" in text:
        return False
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False
