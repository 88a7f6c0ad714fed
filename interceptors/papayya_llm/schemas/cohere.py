"""Cohere's chat, version 2."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from papayya_core.call import Answered, Asked, Message, Tokens, ToolResult
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
    number,
    record,
    records,
    text,
    written,
)
from papayya_llm.schemas.writing import Writing


@dataclass(frozen=True, slots=True)
class Chat:
    """Messages in, one message out."""

    name: str = "cohere.chat"
    volatile: frozenset[str] = frozenset({"priority"})

    def ask(self, path: str, body: Any, size: int, provider: str) -> Asked:
        """Read a request."""
        body = record(body)
        messages = records(body.get("messages"))
        images, inline = shared.pictures(shared.parts(messages))
        return Asked(
            provider=provider,
            schema=self.name,
            model=text(body.get("model")),
            stream=body.get("stream") is True,
            max_tokens=number(body.get("max_tokens")),
            body_bytes=max(size - inline, 0),
            images=images,
            tools=shared.tool_names(body.get("tools")),
            tool_results=_results(messages),
        )

    def answer(self, body: Any, headers: Mapping[str, str] = NO_HEADERS) -> Answered:
        """Read a whole answer."""
        heard = ChatListener(ended=True)
        heard.whole(record(body))
        return heard.done()

    def stream(self) -> Listener:
        """Begin to read events."""
        return ChatListener()

    def can_clamp(self, body: Any) -> bool:
        """A budget for thoughts has to fit into the limit."""
        return record(record(body).get("thinking")).get("token_budget") is None

    def clamped(self, body: JsonObject, most: int, provider: str = "") -> JsonObject:
        """Lower its one limit."""
        return lowered(body, most, "max_tokens", new="max_tokens")

    def messages(self, body: Any) -> tuple[Message, ...]:
        """Read the messages."""
        return tuple(
            shared.lines(
                message.get("role"),
                text(message.get("tool_plan")),
                _readable(message.get("content")),
                *(
                    shared.called(made.get("name"), made.get("arguments"))
                    for call in records(message.get("tool_calls"))
                    for made in (record(call.get("function")),)
                ),
            )
            for message in records(record(body).get("messages"))
        )


class ChatListener:
    """Reads events; the last tells why it stopped, and the usage."""

    def __init__(self, *, ended: bool = False) -> None:
        self._writing = Writing()
        self._id: str | None = None
        self._stop: object = None
        self._usage: JsonObject = {}
        self._ended = ended

    def feed(self, event: str | None, data: Any) -> bool:
        """Take an event."""
        told = record(data)
        self._id = self._id or known(told.get("id"))
        delta = record(told.get("delta"))
        if (text(told.get("type")) or event) == "message-end":
            self._ended = True
            self._ending(delta)
        return self._message(record(delta.get("message")), number(told.get("index")) or 0)

    def whole(self, body: JsonObject) -> None:
        """Take a whole answer."""
        self._id = known(body.get("id"))
        self._ending(body)
        self._message(record(body.get("message")), 0)

    def _ending(self, told: JsonObject) -> None:
        self._stop = told.get("finish_reason") or self._stop
        self._usage = record(told.get("usage")) or self._usage

    def _message(self, message: JsonObject, at: int) -> bool:
        """Take a message, or what an event adds to it."""
        wrote = self._writing.say(message.get("tool_plan"))
        content = message.get("content")
        for part in [content] if isinstance(content, dict) else records(content):
            wrote |= self._writing.say(part.get("text"))
            wrote |= self._writing.think(part.get("thinking"))
        calls = message.get("tool_calls")
        for number_, call in enumerate([calls] if isinstance(calls, dict) else records(calls)):
            made = record(call.get("function"))
            slot = at + number_
            wrote |= self._writing.call(
                slot, call.get("id"), made.get("name"), made.get("arguments")
            )
        return wrote

    def done(self) -> Answered:
        """Say what was read; a stop for an error or a timeout is no end."""
        failed = self._stop in ("ERROR", "TIMEOUT")
        return self._writing.answered(
            response_id=self._id,
            finish=finish(self._stop),
            tokens=_tokens(self._usage),
            whole=self._ended and not failed,
        )


def _tokens(usage: JsonObject) -> Tokens | None:
    """Count what is billed, where that is told; else what was read and written."""
    told = record(usage.get("billed_units")) or record(usage.get("tokens"))
    if first(told, "input_tokens", "output_tokens") is None:
        return None
    return Tokens(input=count(told.get("input_tokens")), output=count(told.get("output_tokens")))


def _results(messages: list[JsonObject]) -> tuple[ToolResult, ...]:
    """Read what tools gave back since the model's last answer."""
    latest = itertools.takewhile(lambda m: m.get("role") != "assistant", reversed(messages))
    found = [
        ToolResult(known(m.get("tool_call_id")), None, _readable(m.get("content")))
        for m in latest
        if m.get("role") == "tool"
    ]
    return tuple(reversed(found))


def _readable(content: Any) -> str:
    """Write a message's content for people; a document by what it holds."""
    if isinstance(content, str):
        return content
    lines = []
    for part in records(content):
        document = record(part.get("document"))
        lines.append(written(document.get("data")) if document else shared.readable([part]))
    return "\n".join(line for line in lines if line)


CHAT = Chat()
