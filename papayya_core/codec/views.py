"""Stored values for people and for ``--json``: no class is imported, nothing is lost silently.

Exactness is not the aim here: a tuple shows as a list, a decimal as a string.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from papayya_core.codec.restore import tag_of
from papayya_core.codec.scalars import read_str
from papayya_core.codec.stack import on_any_stack


def plain(text: str) -> Any:
    """Show what ``encode`` wrote in plain JSON terms; text that it did not write stays text."""
    try:
        return on_any_stack(json.loads, text, object_hook=_view, parse_constant=str)
    except (ValueError, RuntimeError):
        return text


def _view(node: dict[str, Any]) -> Any:
    tag = tag_of(node)
    if tag is None:
        return node
    if tag.startswith("$x:"):
        return node[tag]
    try:
        return VIEWS[tag](node[tag])
    except Exception:  # noqa: BLE001 - a view never fails; unknown or odd parts show as stored
        return node


def _readable(payload: str) -> str:
    """Make NUL and lone surrogates visible instead of harmful."""
    shown = read_str(payload).replace("\x00", "\u2400")
    return shown.encode("utf-8", "backslashreplace").decode()


def _same(payload: Any) -> Any:
    return payload


def _first(payload: list[Any]) -> Any:
    return payload[0]


def _last(payload: list[Any]) -> Any:
    return payload[-1]


def _moment(payload: str | list[Any]) -> Any:
    return payload if isinstance(payload, str) else payload[0]


def _mapping(pairs: list[list[Any]]) -> Any:
    """Show a dict with text for keys, or as pairs where that would join two of them."""
    shown = {key if isinstance(key, str) else json.dumps(key): part for key, part in pairs}
    return shown if len(shown) == len(pairs) else pairs


def _fields(parts: dict[str, Any]) -> Any:
    return {**parts["fields"], **parts.get("extra", {}), **parts.get("more", {})}


def _enum(payload: list[Any]) -> Any:
    _, name, value = payload
    return name if value is None else value


VIEWS: dict[str, Callable[[Any], Any]] = {
    "$str": _readable,
    **dict.fromkeys(("$int", "$float", "$bytes", "$bytearray", "$decimal", "$uuid"), _same),
    **dict.fromkeys(("$date", "$zoneinfo", "$pydantic_zone", "$tuple", "$set"), _same),
    "$frozenset": _same,
    "$timezone": _same,
    "$datetime": _moment,
    "$time": _moment,
    "$timedelta": lambda payload: str(timedelta(*payload)),
    "$fraction": lambda payload: f"{payload[0]}/{payload[1]}",
    "$complex": lambda payload: str(complex(*map(float, payload))),
    "$range": lambda payload: "range({}, {}, {})".format(*payload),
    "$path": _last,
    "$dict": _mapping,
    "$ordereddict": _mapping,
    "$counter": _mapping,
    "$defaultdict": lambda payload: _mapping(payload[1]),
    "$deque": _first,
    "$enum": _enum,
    "$flag": _last,
    "$namedtuple": _fields,
    "$dataclass": _fields,
    "$model": _fields,
    "$url": _last,
}
