"""The ids of tool calls in a request. Some clients make them up, anew each time they run; which
call is meant is all that they say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_LISTS = ("messages", "input", "contents")
_PIECES = ("tool_calls", "content", "parts")
_INSIDE = (
    *("functionCall", "functionResponse", "function_call", "function_response"),
    *("toolUse", "toolResult"),
)
_IDS = ("tool_call_id", "call_id", "tool_use_id", "toolUseId")
MARKS = tuple(f'"{name}"' for name in (*_IDS, "tool_calls", "tool_use", *_INSIDE))
"""A request whose text has none of these has no such ids."""


def numbered(body: Any) -> Any:
    """Put numbers, in the order in which they come, in the place of the ids of tool calls."""
    if not isinstance(body, dict):
        return body
    numbers: dict[str, str] = {}
    lists = {
        name: [_item(one, numbers) for one in body[name]]
        for name in _LISTS
        if isinstance(body.get(name), list)
    }
    return {**body, **lists} if numbers else body


def _item(item: Any, numbers: dict[str, str]) -> Any:
    """Number a message, or an item of another kind, and its pieces."""
    if not isinstance(item, dict):
        return item
    found = _renamed(item, _IDS, numbers)
    for name in _PIECES:
        if isinstance(item.get(name), list):
            is_call = name == "tool_calls"
            found[name] = [_piece(one, numbers, is_call=is_call) for one in item[name]]
    return found


def _piece(piece: Any, numbers: dict[str, str], *, is_call: bool) -> Any:
    """Number a tool call, a block or a part."""
    if not isinstance(piece, dict):
        return piece
    is_call = is_call or piece.get("type") == "tool_use"
    found = _renamed(piece, (*_IDS, "id") if is_call else _IDS, numbers)
    for name in _INSIDE:
        if isinstance(piece.get(name), dict):
            found[name] = _renamed(piece[name], (*_IDS, "id"), numbers)
    return found


def _renamed(
    found: dict[str, Any], names: Iterable[str], numbers: dict[str, str]
) -> dict[str, Any]:
    ids = {name: found[name] for name in names if isinstance(found.get(name), str)}
    new = {name: numbers.setdefault(id_, f"call {len(numbers) + 1}") for name, id_ in ids.items()}
    return {**found, **new}
