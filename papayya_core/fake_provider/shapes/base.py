"""What a dialect consists of, and what several share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from papayya_core.fake_provider.answer import Answer
from papayya_core.fake_provider.ask import Ask, BadRequest, JsonObject, Tool
from papayya_core.fake_provider.shapes.limits import Limits


@dataclass(frozen=True, slots=True)
class Failure:
    """
    An error answer; `kind` is a fault's kind, or "invalid_request", "not_found", ….

    `unit` is what a rate limit is about; `retry_after_ms` is the wait where `retry_after_s`
    had to be rounded.
    """

    status: int
    kind: str
    message: str
    retry_after_s: float | None = None
    retry_after_ms: int | None = None
    unit: str = "requests"


@dataclass(frozen=True, slots=True)
class Vendor:
    """
    How one provider speaks of errors and limits, in all of its APIs.

    `overloaded` is the status for it, and `no_credit` the failure of an account that has none.
    """

    overloaded: int
    no_credit: Failure
    error: Callable[[Failure], JsonObject]
    error_headers: Callable[[Failure], dict[str, str]]
    limits: Limits


@dataclass(frozen=True, slots=True)
class Shape:
    """
    One provider's API.

    `parse` reads a request (with what the path says of it, its model for one), `document` and
    `events` write an answer as JSON and as the frames of a stream. `id_prefix` is None where
    answers have no id; `caches` says whether the provider would keep a request's prompt, and
    `writes` whether it bills that.
    """

    path: str
    id_prefix: str | None
    vendor: Vendor
    parse: Callable[[JsonObject], Ask]
    document: Callable[[Answer], JsonObject]
    events: Callable[[Answer], Iterator[bytes]]
    caches: Callable[[Ask], bool]
    headers: Callable[[Answer], dict[str, str]] = lambda _: {}
    writes: bool = True
    stream_type: str = "text/event-stream; charset=utf-8"


def frame(data: JsonObject, event: str | None = None) -> bytes:
    """Write one server-sent event."""
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def function(item: JsonObject, schema_name: str) -> Tool:
    """Read a function's name, description and parameters."""
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise BadRequest("Each tool must have a name.")
    schema = item.get(schema_name) or {}
    if not isinstance(schema, dict):
        raise BadRequest(f"'{schema_name}' of tool {name!r} must be a JSON schema.")
    return Tool(name, str(item.get("description") or ""), schema)


def objects(items: list[object], what: str) -> list[JsonObject]:
    """Insist on a list of JSON objects."""
    found = [item for item in items if isinstance(item, dict)]
    if len(found) != len(items):
        raise BadRequest(f"'{what}' must hold JSON objects.")
    return found


def choice(value: object, tools: tuple[Tool, ...]) -> str:
    """Read tool_choice of any dialect as "none", "auto", "any" or a tool's name."""
    if isinstance(value, dict):
        named = value.get("name") or (value.get("function") or {}).get("name")
        if named is not None:
            if named not in [tool.name for tool in tools]:
                raise BadRequest(f"tool_choice names {named!r}, which is not among the tools.")
            return str(named)
        value = value.get("type")
    return {"none": "none", "required": "any", "any": "any"}.get(str(value), "auto")
