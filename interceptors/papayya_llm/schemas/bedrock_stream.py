"""An answer of Bedrock's Converse, in events or whole."""

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


class ConverseListener:
    """Reads events: ``{"contentBlockDelta": {…}}``, or that name beside what it holds."""

    def __init__(self, *, ended: bool = False) -> None:
        self._writing = Writing()
        self._stop: object = None
        self._model: str | None = None
        self._usage: JsonObject = {}
        self._ended = ended
        self._error = False

    def feed(self, event: str | None, data: Any) -> bool:
        """Take an event."""
        told = record(data)
        named = next((kind for kind, held in told.items() if isinstance(held, dict)), None)
        if event in {None, "chunk"} and len(told) == 1 and named:
            event, told = named, record(told[named])
        at = number(told.get("contentBlockIndex")) or 0
        if event == "contentBlockDelta":
            return self._delta(at, record(told.get("delta")))
        if event == "contentBlockStart":
            call = record(record(told.get("start")).get("toolUse"))
            return bool(call) and self._call(at, call)
        self._stop = (told.get("stopReason") if event == "messageStop" else None) or self._stop
        if event == "metadata":
            self._usage, self._ended = record(told.get("usage")), True
            self._model = _routed(told)
        self._error = self._error or bool(event and event.endswith("Exception"))
        return False

    def whole(self, body: JsonObject) -> None:
        """Take a whole answer."""
        message = record(record(body.get("output")).get("message"))
        for at, block in enumerate(records(message.get("content"))):
            call = record(block.get("toolUse"))
            if call:
                self._call(at, call)
            self._delta(at, {name: held for name, held in block.items() if name != "toolUse"})
        self._stop, self._usage = body.get("stopReason"), record(body.get("usage"))
        self._model = _routed(body)

    def _call(self, at: int, call: JsonObject) -> bool:
        return self._writing.call(at, call.get("toolUseId"), call.get("name"), call.get("input"))

    def _delta(self, at: int, delta: JsonObject) -> bool:
        """Take a piece of a block."""
        if isinstance(delta.get("toolUse"), dict):
            return self._call(at, delta["toolUse"])
        thought = record(delta.get("reasoningContent"))
        thought = record(thought.get("reasoningText")) or thought
        return self._writing.say(delta.get("text")) | self._writing.think(thought.get("text"))

    def done(self) -> Answered:
        """Say what was read; the usage comes last."""
        return self._writing.answered(
            model=self._model,
            finish=finish(self._stop),
            tokens=tokens(self._usage),
            whole=self._ended and not self._error,
        )


def tokens(usage: JsonObject) -> Tokens | None:
    """Count by class; the input comes without what was cached."""
    if first(usage, "inputTokens", "outputTokens") is None:
        return None
    details = records(usage.get("cacheDetails"))
    hour = sum(count(d.get("inputTokens")) for d in details if text(d.get("ttl")) == "1h")
    wrote = max(count(usage.get("cacheWriteInputTokens")), hour)
    return Tokens(
        input=count(usage.get("inputTokens")),
        cache_read=count(usage.get("cacheReadInputTokens")),
        cache_write=wrote - hour,
        cache_write_1h=hour,
        output=count(usage.get("outputTokens")),
    )


def _routed(told: JsonObject) -> str | None:
    """Read which model a router chose; else the answer does not name it."""
    router = record(record(told.get("trace")).get("promptRouter"))
    return known(router.get("invokedModelId"))
