"""What a wire format is, and how to read JSON that may hold anything.

The readers never raise: what is missing or of another type reads as nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from papayya_core.call import Answered, Asked, Finish, Message

JsonObject = dict[str, Any]
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
MOST = 10**12
"""No count of tokens is greater; what claims to be is cut to it."""

_FINISH: dict[str, Finish] = {
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "complete", "completed", "eos"), "stop"),
    **dict.fromkeys(("finish", "finished", "endoftext", "eos_token"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "incomplete"), "length"),
    **dict.fromkeys(("model_context_window_exceeded", "model_length"), "length"),
    **dict.fromkeys(("content_filter", "content_filtered", "refusal", "safety"), "content_filter"),
    **dict.fromkeys(("guardrail_intervened", "recitation", "blocklist"), "content_filter"),
    **dict.fromkeys(("prohibited_content", "spii", "image_safety"), "content_filter"),
    **dict.fromkeys(("image_prohibited_content", "image_recitation"), "content_filter"),
    **dict.fromkeys(("model_armor", "error_toxic"), "content_filter"),
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call"), "tool_calls"),
}
_RANK: dict[Finish, int] = {
    "content_filter": 4,
    "length": 3,
    "tool_calls": 2,
    "other": 1,
    "stop": 0,
}


class Listener(Protocol):
    """Reads a streamed answer."""

    def feed(self, event: str | None, data: Any) -> bool:
        """Take one event, its data parsed where it is JSON; say whether it carries output."""
        ...

    def done(self) -> Answered:
        """Say what was read; ``whole`` is False when its end was not seen."""
        ...


class Schema(Protocol):
    """One provider's way of asking and answering.

    ``volatile``: top-level fields of a request that do not change what it asks for.
    """

    @property
    def name(self) -> str:
        """Its name in rows and in the journal."""
        ...

    @property
    def volatile(self) -> frozenset[str]:
        """Top-level fields that do not count in the journal's key."""
        ...

    def ask(self, path: str, body: Any, size: int, provider: str) -> Asked:
        """Read a request; ``size``: bytes of its body."""
        ...

    def answer(self, body: Any, headers: Mapping[str, str] = NO_HEADERS) -> Answered:
        """Read a whole answer; header names are lower case."""
        ...

    def stream(self) -> Listener:
        """Begin to read a streamed answer."""
        ...

    def messages(self, body: Any) -> tuple[Message, ...]:
        """Read a request's prompt, for people."""
        ...

    def can_clamp(self, body: Any) -> bool:
        """Tell whether a request is still a good one with any lower limit of output."""
        ...

    def clamped(self, body: JsonObject, most: int, provider: str = "") -> JsonObject:
        """Return a request with no more than ``most`` tokens of output per sample.

        A limit is never raised. Only for a request that can be clamped.
        """
        ...


def prompt(system: str, said: Iterable[Message]) -> tuple[Message, ...]:
    """Put the system prompt, if there is one, before what was said."""
    return (*([Message("system", system)] if system else []), *said)


def text(value: object) -> str:
    """Read a text."""
    return value if isinstance(value, str) else ""


def known(value: object) -> str | None:
    """Read a text that says something."""
    return value if isinstance(value, str) and value else None


def record(value: object) -> JsonObject:
    """Read an object."""
    return value if isinstance(value, dict) else {}


def records(value: object) -> list[JsonObject]:
    """Read the objects of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def first(found: JsonObject, *names: str) -> Any:
    """Read the first of several fields that is there and not null."""
    return next((found[name] for name in names if found.get(name) is not None), None)


def number(value: object) -> int | None:
    """Read a whole number, not negative."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return None
    return min(value, MOST)


def count(value: object) -> int:
    """Read a number of tokens."""
    return number(value) or 0


def written(value: object) -> str:
    """Write a tool's arguments or result as text: JSON, unless it is text already."""
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=repr)
    except (RecursionError, TypeError, ValueError):
        return "[unreadable]"


def lowered(body: JsonObject, most: int, *names: str, new: str) -> JsonObject:
    """Lower the limits that stand in these fields; without any, put one into the field ``new``."""
    found = {name: number(body[name]) for name in names if body.get(name) is not None}
    if not found:
        return {**body, new: most}
    return {**body, **{n: min(value, most) for n, value in found.items() if value is not None}}


def finish(said: object) -> Finish | None:
    """Say in one vocabulary why an answer stopped."""
    return _FINISH.get(said.lower(), "other") if isinstance(said, str) and said else None


def tellest(*found: Finish | None) -> Finish | None:
    """Choose of several samples' ends the one that tells most."""
    return max((end for end in found if end is not None), key=_RANK.__getitem__, default=None)


def name_in_path(path: str, after: str) -> str:
    """Read the name that follows a segment of a path, up to the next ``/`` or ``:method``."""
    _, found, rest = path.rpartition(f"/{after}/")
    return rest.split("/", 1)[0] if found else ""
