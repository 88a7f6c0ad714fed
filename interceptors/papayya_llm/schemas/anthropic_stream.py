"""An answer of Anthropic's messages, in events or whole."""

from __future__ import annotations

from typing import Any

from papayya_core.call import Answered, Tokens
from papayya_llm.schemas.base import (
    JsonObject,
    count,
    finish,
    first,
    known,
    number,
    record,
    records,
    text,
)
from papayya_llm.schemas.writing import Writing

_COUNTS = ("input_tokens", "output_tokens")


class MessagesListener:
    """Reads events, or a message. Usage comes at the start; later counts replace, not add."""

    def __init__(self, *, ended: bool = False) -> None:
        self._writing = Writing()
        self._model: str | None = None
        self._id: str | None = None
        self._stop: object = None
        self._explained: object = None
        self._usage: JsonObject = {}
        self._counted = False
        self._ended = ended
        self._error = False

    def feed(self, event: str | None, data: Any) -> bool:
        """Take an event."""
        told = record(data)
        kind = text(told.get("type")) or event
        at = number(told.get("index")) or 0
        if kind == "content_block_delta":
            return self._delta(at, record(told.get("delta")))
        if kind == "content_block_start":
            return self._block(at, record(told.get("content_block")))
        if kind == "message_start":
            return self._message(record(told.get("message")))
        if kind == "message_delta":
            self._ending(record(told.get("delta")), record(told.get("usage")))
        elif kind == "message":
            return self._message(told)
        self._ended = self._ended or kind == "message_stop"
        self._error = self._error or kind == "error"
        return False

    def _message(self, message: JsonObject) -> bool:
        """Take a message, or its beginning."""
        self._model = self._model or known(message.get("model"))
        self._id = self._id or known(message.get("id"))
        self._ending(message, record(message.get("usage")))
        self._counted = False
        blocks = enumerate(records(message.get("content")))
        found = [self._block(at, block, whole=True) for at, block in blocks]
        return any(found)

    def _ending(self, delta: JsonObject, usage: JsonObject) -> None:
        """Take why it stopped, and counts so far."""
        self._stop = delta.get("stop_reason") or self._stop
        details = record(delta.get("stop_details"))
        self._explained = details.get("explanation") or self._explained
        self._usage |= {name: value for name, value in usage.items() if value is not None}
        self._counted = self._counted or bool(usage)

    def _block(self, at: int, block: JsonObject, *, whole: bool = False) -> bool:
        """Take a block; a streamed call begins with an empty input, which is no argument."""
        kind = text(block.get("type"))
        if kind in {"tool_use", "server_tool_use", "mcp_tool_use"}:
            asked = block.get("input") if whole or block.get("input") else None
            return self._writing.call(at, block.get("id"), block.get("name"), asked)
        wrote = self._writing.think(block.get("thinking")) | self._writing.think(block.get("data"))
        return wrote | self._writing.say(block.get("text") if kind == "text" else None)

    def _delta(self, at: int, delta: JsonObject) -> bool:
        """Take a piece of a block."""
        if delta.get("type") == "input_json_delta":
            return self._writing.call(at, arguments=text(delta.get("partial_json")))
        wrote = self._writing.say(delta.get("text"))
        return wrote | self._writing.think(delta.get("thinking"))

    def done(self) -> Answered:
        """Say what was read; a reason to stop with final counts stands in for a missing end."""
        ended = self._ended or (bool(self._stop) and self._counted)
        if self._writing.empty:
            self._writing.say(self._explained)
        return self._writing.answered(
            model=self._model,
            response_id=self._id,
            finish=finish(self._stop),
            tokens=tokens(self._usage),
            whole=ended and not self._error,
        )


def tokens(usage: JsonObject) -> Tokens | None:
    """Count by class; the input comes without what was cached."""
    if first(usage, *_COUNTS) is None:
        return None
    hour = count(record(usage.get("cache_creation")).get("ephemeral_1h_input_tokens"))
    short = count(record(usage.get("cache_creation")).get("ephemeral_5m_input_tokens"))
    wrote = max(count(usage.get("cache_creation_input_tokens")), hour + short)
    details = record(usage.get("output_tokens_details"))
    return Tokens(
        input=count(usage.get("input_tokens")),
        cache_read=count(usage.get("cache_read_input_tokens")),
        cache_write=wrote - hour,
        cache_write_1h=hour,
        output=count(usage.get("output_tokens")),
        reasoning=count(details.get("thinking_tokens")),
    )
