"""OpenAI's responses: what is asked, and a whole answer."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from papayya_core.call import Answered, Asked, Finish, Message, Tokens, ToolResult
from papayya_llm.schemas import openai_parts as shared
from papayya_llm.schemas.base import (
    NO_HEADERS,
    JsonObject,
    Listener,
    count,
    finish,
    first,
    known,
    lowered,
    name_in_path,
    number,
    record,
    records,
    text,
)
from papayya_llm.schemas.responses_stream import ResponsesListener, read_item
from papayya_llm.schemas.writing import Writing

_OWN_TOOLS = frozenset({"function", "custom", "local_shell", "apply_patch", "namespace"})
"""Tools that the caller runs, or that cost nothing but their tokens."""
_BY_MODEL = frozenset({"message", "reasoning"})
_UNDER_WAY = frozenset({"queued", "in_progress", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Responses:
    """Items in, items out."""

    name: str = "openai.responses"
    volatile: frozenset[str] = shared.VOLATILE

    def ask(self, path: str, body: Any, size: int, provider: str) -> Asked:
        """Read a request."""
        body = record(body)
        items = records(body.get("input"))
        parts = list(shared.parts(items))
        images, inline = shared.pictures(parts)
        return Asked(
            provider=provider,
            schema=self.name,
            model=text(body.get("model")) or name_in_path(path, "deployments"),
            stream=body.get("stream") is True,
            max_tokens=number(body.get("max_output_tokens")),
            body_bytes=max(size - inline, 0),
            images=images,
            unbounded=_unbounded(body, items, parts),
            tools=shared.tool_names(body.get("tools")),
            tool_results=_results(items),
        )

    def answer(self, body: Any, headers: Mapping[str, str] = NO_HEADERS) -> Answered:
        """Read a response; one that failed, or is still under way, is not whole."""
        return read_response(record(body))

    def stream(self) -> Listener:
        """Begin to read events."""
        return ResponsesListener(read_response)

    def can_clamp(self, body: Any) -> bool:
        """It always can."""
        return True

    def clamped(self, body: JsonObject, most: int, provider: str = "") -> JsonObject:
        """Lower its one limit."""
        return lowered(body, most, "max_output_tokens", new="max_output_tokens")

    def messages(self, body: Any) -> tuple[Message, ...]:
        """Read the instructions and the items."""
        body = record(body)
        given, told = body.get("input"), body.get("instructions")
        found = [Message("system", told)] if isinstance(told, str) and told else []
        if isinstance(given, str):
            found.append(Message("user", given))
        return (*found, *map(_message, records(given)))


def read_response(body: JsonObject) -> Answered:
    """Read a response object."""
    writing = Writing()
    refused = [read_item(writing, at, i) for at, i in enumerate(records(body.get("output")))]
    return writing.answered(
        model=known(body.get("model")),
        response_id=known(body.get("id")),
        finish="content_filter" if any(refused) else _finish(body, called=writing.calls),
        tokens=_tokens(record(body.get("usage"))),
        whole=text(body.get("status")) not in _UNDER_WAY and not body.get("error"),
    )


def _finish(body: JsonObject, *, called: bool) -> Finish | None:
    """Say why it ended: the reason of an incomplete one is told apart."""
    why = record(body.get("incomplete_details")).get("reason")
    ended = finish(why or body.get("status"))
    return "tool_calls" if called and ended in {"stop", None} else ended


def _tokens(usage: JsonObject) -> Tokens | None:
    """Count by class; the input includes what was cached."""
    if first(usage, "input_tokens", "output_tokens") is None:
        return None
    details = record(first(usage, "input_tokens_details"))
    read, wrote = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
    return Tokens(
        input=max(count(usage.get("input_tokens")) - read - wrote, 0),
        cache_read=read,
        cache_write=wrote,
        output=count(usage.get("output_tokens")),
        reasoning=count(record(usage.get("output_tokens_details")).get("reasoning_tokens")),
    )


def _unbounded(body: JsonObject, items: list[JsonObject], parts: list[JsonObject]) -> str | None:
    """Say why no bound of the price can be told."""
    for field, why in (
        ("previous_response_id", "stored conversation"),
        ("conversation", "stored conversation"),
        ("prompt", "stored prompt"),
        ("background", "background"),
    ):
        if body.get(field):
            return why
    kinds = {text(tool.get("type")) or "function" for tool in records(body.get("tools"))}
    if kinds - _OWN_TOOLS:
        return f"server tool {min(kinds - _OWN_TOOLS)}"
    if any(item.get("type") == "item_reference" for item in items):
        return "stored conversation"
    return shared.why_unbounded(body, parts)


def _results(items: list[JsonObject]) -> tuple[ToolResult, ...]:
    """Read what tools gave back since the model's last answer."""
    latest = list(itertools.takewhile(lambda item: not _by_model(item), reversed(items)))
    found = []
    for item in reversed(latest):
        if text(item.get("type")).endswith("_output"):
            id_ = known(first(item, "call_id", "id"))
            found.append(ToolResult(id_, None, shared.readable(item.get("output"))))
    return tuple(found)


def _by_model(item: JsonObject) -> bool:
    """Whether the model wrote an item, which stands in the input to remind it."""
    kind = text(item.get("type")) or "message"
    if kind == "message":
        return item.get("role") == "assistant"
    return kind in _BY_MODEL or kind.endswith("_call")


def _message(item: JsonObject) -> Message:
    """Write an item for people."""
    kind = text(item.get("type")) or "message"
    if kind == "message":
        return shared.lines(item.get("role"), shared.readable(item.get("content")))
    if kind.endswith("_call"):
        asked = first(item, "arguments", "input", "action")
        return Message("assistant", shared.called(item.get("name") or kind, asked))
    if kind.endswith("_output"):
        return Message("tool", shared.readable(item.get("output")))
    return Message("assistant" if kind == "reasoning" else "user", f"[{kind}]")


RESPONSES = Responses()
