"""What a request asks for, in one form for all providers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeAlias

from papayya_core.fake_provider import tokens

JsonObject: TypeAlias = dict[str, Any]

MEDIA_TOKENS = 85
MESSAGE_TOKENS = 3
_TEXT_PARTS = {"text", "input_text", "output_text", "refusal"}
_RESULT_PARTS = {"tool_result", "function_call_output"}
_MEDIA = {"image", "url", "file", "document", "audio"}


class BadRequest(ValueError):
    """The request can't be answered; the message says why (HTTP 400)."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; `schema` describes its arguments."""

    name: str
    description: str
    schema: JsonObject


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the conversation."""

    role: str
    text: str
    media: int = 0
    is_result: bool = False


@dataclass(frozen=True, slots=True)
class Thinking:
    """
    How much to think before the answer: `paragraphs`, and at most `most` tokens.

    `shown` says whether the answer gives the thoughts and not only their number.
    """

    paragraphs: int = 0
    most: int | None = None
    shown: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """
    One request, whatever its shape.

    `schema` is the JSON schema of the answer ({} for any JSON object, None for text);
    `tool_choice` is "none", "auto", "any" or a tool's name; `stream_usage` asks for the usage at
    the end of a stream. With `dimensions` each message is to become a vector of that length;
    `counted` is the prompt's tokens where they are not those of the messages.
    """

    body: JsonObject
    model: str
    messages: tuple[Message, ...]
    schema: JsonObject | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    max_tokens: int | None = None
    samples: int = 1
    stream: bool = False
    stream_usage: bool = False
    thinking: Thinking = Thinking()
    dimensions: int | None = None
    counted: int | None = None

    @property
    def topic(self) -> str:
        """What the user wrote last: the answer is about this."""
        spoken = [m.text for m in self.messages if m.role == "user" and m.text and not m.is_result]
        return spoken[-1] if spoken else " ".join(m.text for m in self.messages)

    @property
    def prompt_tokens(self) -> int:
        """Count the prompt: messages, tools, schema, and a fixed overhead."""
        if self.counted is not None:
            return self.counted
        extra = [json.dumps([t.name, t.description, t.schema]) for t in self.tools]
        extra += [json.dumps(self.schema)] if self.schema else []
        talk = sum(
            tokens.count(m.text) + m.media * MEDIA_TOKENS + MESSAGE_TOKENS for m in self.messages
        )
        return talk + sum(map(tokens.count, extra)) + MESSAGE_TOKENS


def read_json(body: bytes) -> JsonObject:
    """Read a request body, which must be a JSON object."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as wrong:
        message = f"The body is not JSON ({wrong}): send a JSON object."
        raise BadRequest(message) from wrong
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.")
    return value


def field(body: JsonObject, name: str, kind: type[Any], *, default: Any = None) -> Any:
    """Read an optional field of a given type; null counts as absent."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadRequest(f"'{name}' must be of type {kind.__name__}, not {type(value).__name__}.")
    return value


def required(body: JsonObject, name: str, kind: type[Any]) -> Any:
    """Read a field that the provider insists on."""
    value = field(body, name, kind)
    if value is None:
        raise BadRequest(f"Missing required parameter: '{name}'.")
    return value


def positive(body: JsonObject, *names: str) -> int | None:
    """Read the first of some optional fields that must be positive integers."""
    for name in names:
        value: int | None = field(body, name, int)
        if value is not None:
            if value < 1:
                raise BadRequest(f"'{name}' must be at least 1, not {value}.")
            return value
    return None


def read_message(item: object) -> Message:
    """Read one message or input item of any of the shapes."""
    if not isinstance(item, dict):
        raise BadRequest("Each message must be a JSON object.")
    text, media, is_result = _read_content(_content(item))
    known = item.get("type") in _RESULT_PARTS or item.get("role") == "tool"
    return Message(str(item.get("role", "")), text, media, is_result or known)


def _content(item: JsonObject) -> object:
    """Find what an item says: its content, output, or the calls it makes."""
    for name in ("content", "output", "arguments", "tool_calls", "summary"):
        if item.get(name) is not None:
            return item[name]
    return ""


def _read_content(content: object) -> tuple[str, int, bool]:
    """Read content as (text, number of media parts, whether it holds a tool's result)."""
    if isinstance(content, str):
        return content, 0, False
    texts, media, is_result = [], 0, False
    for part in content if isinstance(content, list) else [content]:
        if not isinstance(part, dict):
            raise BadRequest("Content must be a text or a list of parts that are JSON objects.")
        kind = part.get("type")
        if kind in _RESULT_PARTS:
            inner, more, _ = _read_content(_content(part))
            texts.append(inner)
            media, is_result = media + more, True
        elif kind in _TEXT_PARTS:
            texts.append(str(part.get("text") or part.get("refusal") or ""))
        elif isinstance(kind, str) and kind.split("_")[-1] in _MEDIA:
            media += 1
        else:
            texts.append(json.dumps(part))
    return "\n".join(texts), media, is_result
