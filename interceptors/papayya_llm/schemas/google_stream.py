"""An answer of Google's generateContent: chunks, each of the shape of a whole one."""

from __future__ import annotations

from typing import Any

from papayya_core.call import Answered, Finish, Tokens
from papayya_llm.schemas.base import (
    JsonObject,
    count,
    finish,
    first,
    known,
    number,
    record,
    records,
    tellest,
    text,
)
from papayya_llm.schemas.writing import Writing

_COUNTS = ("promptTokenCount", "candidatesTokenCount", "totalTokenCount")


class GoogleListener:
    """Reads chunks. There is no end mark: the last one says why it stopped."""

    def __init__(self, *, ended: bool = False) -> None:
        self._writing = Writing()
        self._model: str | None = None
        self._id: str | None = None
        self._end: Finish | None = None
        self._usage: JsonObject = {}
        self._called = 0
        self._ended = ended
        self._error = False

    def feed(self, event: str | None, data: Any) -> bool:
        """Take a chunk."""
        chunk = record(data)
        self._model = self._model or known(chunk.get("modelVersion"))
        self._id = self._id or known(chunk.get("responseId"))
        self._usage = record(chunk.get("usageMetadata")) or self._usage
        self._error = self._error or bool(chunk.get("error"))
        if record(chunk.get("promptFeedback")).get("blockReason"):
            self._end = "content_filter"
        found = [self._candidate(at, c) for at, c in enumerate(records(chunk.get("candidates")))]
        return any(found)

    def _candidate(self, at: int, candidate: JsonObject) -> bool:
        """Take what a chunk adds to a candidate."""
        index = number(candidate.get("index"))
        sample = at if index is None else index
        parts = records(record(candidate.get("content")).get("parts"))
        found = [self._part(sample, part) for part in parts]
        end = finish(candidate.get("finishReason"))
        self._end = tellest(self._end, end)
        return any(found)

    def _part(self, sample: int, part: JsonObject) -> bool:
        """Take a part: a thought, text, a call (whole, with its arguments)."""
        if isinstance(part.get("functionCall"), dict):
            call = part["functionCall"]
            self._called += 1
            slot = self._called
            return self._writing.call(slot, call.get("id"), call.get("name"), call.get("args"))
        said = text(part.get("text"))
        thought = part.get("thought") is True
        return self._writing.think(said) if thought else self._writing.say(said, sample)

    def done(self) -> Answered:
        """Say what was read. A call is an end of its own, which the API names ``STOP``."""
        called = self._writing.calls and self._end == "stop"
        return self._writing.answered(
            model=self._model,
            response_id=self._id,
            finish="tool_calls" if called else self._end,
            tokens=_tokens(self._usage),
            whole=(self._ended or self._end is not None) and not self._error,
        )


def _tokens(usage: JsonObject) -> Tokens | None:
    """Count by class: the prompt includes what was cached, candidates leave the thoughts out."""
    if first(usage, *_COUNTS) is None:
        return None
    read = count(usage.get("cachedContentTokenCount"))
    thoughts = count(usage.get("thoughtsTokenCount"))
    prompt = count(usage.get("promptTokenCount")) + count(usage.get("toolUsePromptTokenCount"))
    return Tokens(
        input=max(prompt - read, 0),
        cache_read=read,
        output=count(usage.get("candidatesTokenCount")) + thoughts,
        reasoning=thoughts,
    )
