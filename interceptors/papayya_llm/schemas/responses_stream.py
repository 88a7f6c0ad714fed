"""OpenAI's responses as a stream, and the items of an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from papayya_core.call import Answered
from papayya_llm.schemas.base import JsonObject, first, known, number, record, records, text
from papayya_llm.schemas.writing import Writing

_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


class ResponsesListener:
    """Reads events; the last carries the whole response, unless a server leaves its items out."""

    def __init__(self, read: Callable[[JsonObject], Answered]) -> None:
        self._read = read
        self._writing = Writing()
        self._response: JsonObject = {}
        self._ended = False
        self._error = False

    def feed(self, event: str | None, data: Any) -> bool:
        """Take an event."""
        told = record(data)
        kind = text(told.get("type")) or event or ""
        if isinstance(told.get("response"), dict):
            self._response = told["response"]
        self._ended = self._ended or kind in _ENDS
        self._error = self._error or kind == "error"
        if kind == "response.output_item.added":
            return self._begun(number(told.get("output_index")), record(told.get("item")))
        return kind.endswith(".delta") and self._piece(kind, told)

    def _begun(self, at: int | None, item: JsonObject) -> bool:
        """Take an item's beginning: a call tells its name here, and its arguments later."""
        kind = text(item.get("type"))
        if kind in {"function_call", "custom_tool_call", "mcp_call"}:
            self._writing.call(at, first(item, "call_id", "id"), item.get("name"))
        return kind not in {"", "message", "reasoning"}

    def _piece(self, kind: str, told: JsonObject) -> bool:
        """Take a piece of an item."""
        delta = told.get("delta")
        if kind in {"response.output_text.delta", "response.refusal.delta"}:
            return self._writing.say(delta)
        if kind.endswith(("_call_arguments.delta", "_call_input.delta")):
            at = number(told.get("output_index"))
            return self._writing.call(at, arguments=delta if isinstance(delta, str) else None)
        return kind.endswith("audio.delta") or self._writing.think(delta)

    def done(self) -> Answered:
        """Say what was read: the last response if it came, else what the pieces made."""
        told = self._read(self._response)
        whole = self._ended and told.whole and not self._error
        if self._ended and (self._writing.empty or told.text or told.tool_calls):
            return replace(told, whole=whole)
        return self._writing.answered(
            model=told.model,
            response_id=told.response_id,
            finish=told.finish if self._ended else None,
            tokens=told.tokens,
            whole=whole,
        )


def read_item(writing: Writing, at: int, item: JsonObject) -> bool:
    """Take an item of an answer; say whether it is a refusal."""
    kind = text(item.get("type"))
    refused = False
    if kind == "message":
        for part in records(item.get("content")):
            writing.say(part.get("text"))
            refused |= writing.say(part.get("refusal"))
    elif kind == "reasoning":
        for part in (*records(item.get("content")), *records(item.get("summary"))):
            writing.think(part.get("text"))
    elif kind in {"function_call", "custom_tool_call", "mcp_call", "computer_call"} or (
        kind.endswith("shell_call")
    ):
        asked = first(item, "arguments", "input", "action")
        writing.call(at, first(item, "call_id", "id"), known(item.get("name")) or kind, asked)
    return refused
