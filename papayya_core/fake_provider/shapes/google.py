"""Google's generateContent."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace

from papayya_core.fake_provider import tokens
from papayya_core.fake_provider.answer import Answer, Choice
from papayya_core.fake_provider.ask import JsonObject
from papayya_core.fake_provider.shapes import limits
from papayya_core.fake_provider.shapes.base import Failure, Shape, Vendor, frame
from papayya_core.fake_provider.shapes.google_request import parse

_FINISH = {"stop": "STOP", "tool": "STOP", "length": "MAX_TOKENS", "refusal": "SAFETY"}
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_NO_CREDIT = (
    "You exceeded your current quota, please check your plan and billing details. For more"
    " information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)


def _usage(answer: Answer, said: int, thought: int) -> JsonObject:
    """Write the usage so far: thoughts beside the answer's tokens, and nothing that is 0."""
    used = answer.usage
    counts = {
        "promptTokenCount": used.prompt,
        "cachedContentTokenCount": used.cached,
        "candidatesTokenCount": said,
        "thoughtsTokenCount": thought,
        "totalTokenCount": used.prompt + said + thought,
    }
    by_kind = [{"modality": "TEXT", "tokenCount": used.prompt}]
    return {n: count for n, count in counts.items() if count} | {"promptTokensDetails": by_kind}


def _whole_usage(answer: Answer) -> JsonObject:
    """Write the usage of the whole answer."""
    return _usage(answer, answer.usage.output - answer.reasoning, answer.reasoning)


def _parts(answer: Answer, made: Choice) -> list[JsonObject]:
    """Write the parts of a choice: thoughts, if they are shown, and a text or a call."""
    shown = bool(made.thought) and answer.ask.thinking.shown
    parts: list[JsonObject] = [{"text": made.thought, "thought": True}] if shown else []
    if made.tool:
        call = {"functionCall": {"name": made.tool, "args": made.arguments()}}
        sign = {"thoughtSignature": b64encode(answer.id.encode()).decode()}
        return [*parts, call | sign if made.thought else call]
    return [*parts, {"text": made.text}] if made.text else parts


def _ended(made: Choice) -> JsonObject:
    """Write why a choice stopped."""
    reason = {"finishReason": _FINISH[made.finish]}
    return reason | {"finishMessage": made.text} if made.finish == "refusal" else reason


def _candidate(answer: Answer, number: int, made: Choice) -> JsonObject:
    """Write one choice; a refused one has no content."""
    parts = _parts(answer, made)
    content = {"parts": parts, "role": "model"} if parts else {"role": "model"}
    said = {} if made.finish == "refusal" else {"content": content}
    return {**said, **_ended(made), "index": number}


def _around(answer: Answer, candidates: list[JsonObject], usage: JsonObject) -> JsonObject:
    """Write what an answer and its chunks have in common."""
    named = {"modelVersion": answer.ask.model, "responseId": answer.id}
    return {"candidates": candidates, "usageMetadata": usage, **named}


def document(answer: Answer) -> JsonObject:
    """Write an answer as JSON."""
    made = [_candidate(answer, n, choice) for n, choice in enumerate(answer.choices)]
    return _around(answer, made, _whole_usage(answer))


def chunks(answer: Answer) -> Iterator[JsonObject]:
    """Write an answer as chunks; each tells the usage so far, the last one all of it."""
    said = thought = 0
    for number, made in enumerate(answer.choices):
        for piece in _pieces(answer, made):
            if piece.get("thought"):
                thought += tokens.count(piece["text"])
            else:
                said += tokens.count(piece.get("text", ""))
            content = {"parts": [piece], "role": "model"}
            part = {"content": content, "index": number}
            yield _around(answer, [part], _usage(answer, said, thought))
        last = number == len(answer.choices) - 1
        usage = _whole_usage(answer) if last else _usage(answer, said, thought)
        yield _around(answer, [{**_ended(made), "index": number}], usage)


def _pieces(answer: Answer, made: Choice) -> Iterator[JsonObject]:
    """Write the parts of a choice bit by bit; a call comes whole, a refusal not at all."""
    for part in [] if made.finish == "refusal" else _parts(answer, made):
        for piece in tokens.pieces(part.get("text", "")):
            yield {**part, "text": piece}
        if "functionCall" in part:
            yield part


def events(answer: Answer) -> Iterator[bytes]:
    """Write the chunks as server-sent events (``alt=sse``)."""
    return map(frame, chunks(answer))


def array(answer: Answer) -> Iterator[bytes]:
    """Write the chunks as one JSON array, an element at a time: what Google does without alt."""
    start = b"["
    for chunk in chunks(answer):
        yield start + json.dumps(chunk).encode()
        start = b",\r\n"
    yield b"]"


def error(failure: Failure) -> JsonObject:
    """Write an error."""
    named = {
        "code": failure.status,
        "message": failure.message,
        "status": _STATUS.get(failure.status, "INTERNAL"),
    }
    if failure.retry_after_s is None:
        return {"error": named}
    kind = "type.googleapis.com/google.rpc.RetryInfo"
    wait = {"@type": kind, "retryDelay": f"{failure.retry_after_s:g}s"}
    return {"error": {**named, "details": [wait]}}


_VENDOR = Vendor(
    overloaded=503,
    no_credit=Failure(429, "no_credit", _NO_CREDIT),
    error=error,
    error_headers=lambda _: {},
    limits=limits.none,
)
GOOGLE = Shape(
    path="/v1beta/models:generateContent",
    id_prefix="",
    vendor=_VENDOR,
    parse=parse,
    document=document,
    events=events,
    caches=lambda _: True,
    writes=False,
)
GOOGLE_ARRAY = replace(GOOGLE, events=array, stream_type="application/json; charset=utf-8")
