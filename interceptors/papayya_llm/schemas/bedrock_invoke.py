"""Amazon Bedrock's InvokeModel: each model family's own format, by the shape of the body."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from papayya_core.call import Answered, Asked, CallKind, Message, Tokens
from papayya_llm.schemas.anthropic import MESSAGES
from papayya_llm.schemas.base import (
    NO_HEADERS,
    JsonObject,
    Listener,
    Schema,
    count,
    finish,
    first,
    name_in_path,
    number,
    record,
    records,
    text,
)
from papayya_llm.schemas.bedrock import CONVERSE, VOLATILE
from papayya_llm.schemas.openai_chat import CHAT
from papayya_llm.schemas.writing import Writing

_METRICS = "amazon-bedrock-invocationMetrics"
_LIMITS = (
    *("max_tokens", "max_completion_tokens", "max_gen_len", "max_new_tokens", "maxTokens"),
    *("max_tokens_to_sample", "maxTokenCount"),
)
_CONFIGS = ("inferenceConfig", "textGenerationConfig")
_INPUT, _OUTPUT = "x-amzn-bedrock-input-token-count", "x-amzn-bedrock-output-token-count"


@dataclass(frozen=True, slots=True)
class Invoke:
    """Anthropic's, OpenAI's and Amazon's bodies are read whole, others for their tokens."""

    name: str = "bedrock.invoke"
    volatile: frozenset[str] = VOLATILE

    def ask(self, path: str, body: Any, size: int, provider: str) -> Asked:
        """Read a request."""
        body = record(body)
        model = text(body.get("modelId")) or unquote(name_in_path(path, "model"))
        embeds = "embed" in model
        kind: CallKind = "embedding" if embeds else "llm"
        family = _family(model, body)
        limit = 0 if embeds else _limit(body)
        asked = Asked(provider, self.name, model, kind, max_tokens=limit, body_bytes=size)
        if family is not None and not embeds:
            read = family.ask(path, body, size, provider)
            asked = replace(read, schema=self.name, model=model, max_tokens=limit)
        return replace(asked, stream=path.endswith("-response-stream"))

    def answer(self, body: Any, headers: Mapping[str, str] = NO_HEADERS) -> Answered:
        """Read a whole answer; the headers count its tokens where the body does not."""
        heard = InvokeListener(ended=True)
        heard.feed(None, body)
        answered = heard.done()
        told = _counted(headers.get(_INPUT), headers.get(_OUTPUT))
        return answered if answered.tokens or not told else replace(answered, tokens=told)

    def stream(self) -> Listener:
        """Begin to read events."""
        return InvokeListener()

    def can_clamp(self, body: Any) -> bool:
        """Where it has no limit, nobody knows where to put one."""
        body = record(body)
        family = _family(text(body.get("modelId")), body)
        return _limit(body) is not None and (family is None or family.can_clamp(body))

    def clamped(self, body: JsonObject, most: int, provider: str = "") -> JsonObject:
        """Lower what is there, wherever a model family puts it."""
        inner = {name: found for name in _CONFIGS if (found := record(body.get(name)))}
        return _less(body, most) | {name: _less(config, most) for name, config in inner.items()}

    def messages(self, body: Any) -> tuple[Message, ...]:
        """Read the messages, or the prompt."""
        body = record(body)
        family = _family(text(body.get("modelId")), body)
        if family is not None:
            return family.messages(body)
        prompt = first(body, "prompt", "inputText")
        return (Message("user", prompt),) if isinstance(prompt, str) else ()


class InvokeListener:
    """Reads events as the first of them suggests; the last one tells Bedrock's own counts."""

    def __init__(self, *, ended: bool = False) -> None:
        self._ended = ended
        self._closed = False
        self._error = False
        self._read: Listener | None = None
        self._plain = _Plain()
        self._metrics: JsonObject = {}

    def feed(self, event: str | None, data: Any) -> bool:
        """Take an event, as JSON or still in its wrapping."""
        self._error = self._error or bool(event and event.endswith("Exception"))
        told = _unwrapped(record(data))
        if _METRICS in told:
            self._metrics, self._closed = record(told[_METRICS]), True
            told = {name: held for name, held in told.items() if name != _METRICS}
        if self._read is None and (family := _answers_as(told)) is not None:
            self._read = family.stream()
            if self._ended:
                return self._whole(family, told)
        return self._read.feed(None, told) if self._read else self._plain.feed(told)

    def _whole(self, family: Schema, told: JsonObject) -> bool:
        self._read = _Told(family.answer(told))
        return True

    def done(self) -> Answered:
        """Say what was read."""
        read = self._read.done() if self._read else self._plain.done()
        metrics = self._metrics
        told = _counted(metrics.get("inputTokenCount"), metrics.get("outputTokenCount"))
        whole = self._ended or self._closed or (self._read is not None and read.whole)
        if self._ended and self._read is not None:
            whole = read.whole
        return replace(read, tokens=read.tokens or told, whole=whole and not self._error)


class _Told:
    """A listener to what is known already."""

    def __init__(self, answered: Answered) -> None:
        self._answered = answered

    def feed(self, event: str | None, data: Any) -> bool:
        return False

    def done(self) -> Answered:
        return self._answered


class _Plain:
    """Reads the formats of Meta, Amazon Titan, Mistral and Cohere for text and tokens."""

    def __init__(self) -> None:
        self._writing = Writing()
        self._stop: object = None
        self._in: int | None = None
        self._out: int | None = None

    def feed(self, told: JsonObject) -> bool:
        inner = [told, *records(told.get("results")), *records(told.get("outputs"))]
        wrote = False
        for part in inner:
            wrote |= self._writing.say(first(part, "generation", "outputText", "text"))
            self._stop = first(part, "stop_reason", "completionReason") or self._stop
            self._out = _latest(self._out, part, "generation_token_count", "tokenCount")
        self._in = _latest(self._in, told, "prompt_token_count", "inputTextTokenCount")
        return wrote

    def done(self) -> Answered:
        return self._writing.answered(
            finish=finish(self._stop), tokens=_counted(self._in, self._out)
        )


def _latest(before: int | None, told: JsonObject, *names: str) -> int | None:
    found = number(first(told, *names))
    return before if found is None else found


def _counted(given: object, made: object) -> Tokens | None:
    """Read two counts, numbers or a header's text; None where neither is told."""
    if given is None and made is None:
        return None
    return Tokens(input=_decimal(given), output=_decimal(made))


def _decimal(value: object) -> int:
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdigit() and len(value) < 16 else None  # noqa: PLR2004
    return count(value)


def _limit(body: JsonObject) -> int | None:
    """Read the limit of the output, wherever a model family puts it."""
    inner = (record(body.get(name)) for name in _CONFIGS)
    found = {**body, **{name: value for part in inner for name, value in part.items()}}
    return number(first(found, *_LIMITS))


def _less(fields: JsonObject, most: int) -> JsonObject:
    found = {name: number(fields.get(name)) for name in _LIMITS}
    return fields | {name: min(limit, most) for name, limit in found.items() if limit is not None}


def _family(model: str, body: JsonObject) -> Schema | None:
    """Find the format of a request."""
    if "anthropic_version" in body or "anthropic." in model:
        return MESSAGES
    if "inferenceConfig" in body or "schemaVersion" in body:
        return CONVERSE
    return CHAT if "messages" in body else None


def _answers_as(told: JsonObject) -> Schema | None:
    """Find the format of an answer, or of a stream's first event."""
    if text(told.get("type")) in {"message", "message_start", "error"}:
        return MESSAGES
    if isinstance(told.get("choices"), list):
        return CHAT
    return CONVERSE if "messageStart" in told or "output" in told else None


def _unwrapped(told: JsonObject) -> JsonObject:
    """Take an event's JSON out of ``{"chunk": {"bytes": …}}``, bytes or base64."""
    inner = record(told.get("chunk")) or told
    data = inner.get("bytes")
    if not isinstance(data, bytes | str):
        return inner
    try:
        return record(json.loads(base64.b64decode(data) if isinstance(data, str) else data))
    except (ValueError, binascii.Error, RecursionError):
        return {}


INVOKE = Invoke()
