"""OpenAI's embeddings: vectors of which alike texts have alike ones, and no output to bill."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from struct import pack, unpack

from papayya_core.fake_provider import tokens
from papayya_core.fake_provider.answer import Answer
from papayya_core.fake_provider.ask import (
    Ask,
    BadRequest,
    JsonObject,
    Message,
    field,
    positive,
    required,
)
from papayya_core.fake_provider.shapes.base import Shape
from papayya_core.fake_provider.shapes.openai import OPENAI
from papayya_core.fake_provider.vectors import vector

MOST_INPUTS = 2_048
MOST_DIMENSIONS = 4_096
_DIMENSIONS = {"text-embedding-3-large": 3_072}
_USUAL = 1_536


def parse(body: JsonObject) -> Ask:
    """Read a request."""
    model = required(body, "model", str)
    inputs = _inputs(body.get("input"))
    dimensions = positive(body, "dimensions") or _DIMENSIONS.get(model, _USUAL)
    if dimensions > MOST_DIMENSIONS:
        raise BadRequest(f"'dimensions' must be at most {MOST_DIMENSIONS}, not {dimensions}.")
    if field(body, "encoding_format", str, default="float") not in ("float", "base64"):
        raise BadRequest("'encoding_format' must be float or base64.")
    return Ask(
        body=body,
        model=model,
        messages=tuple(Message("user", text) for text, _ in inputs),
        dimensions=dimensions,
        counted=sum(count for _, count in inputs),
    )


def _inputs(given: object) -> list[tuple[str, int]]:
    """Read a text, a list of tokens, or a list of either, as texts with their tokens."""
    several = isinstance(given, list) and not all(type(each) is int for each in given)
    items = given if isinstance(given, list) and several else [given]
    if len(items) > MOST_INPUTS:
        raise BadRequest(f"'input' must be at most {MOST_INPUTS} texts, not {len(items)}.")
    return [_input(item) for item in items]


def _input(item: object) -> tuple[str, int]:
    """Read one text, or one list of tokens: these stand for themselves."""
    if isinstance(item, str) and item:
        return item, max(1, tokens.count(item))
    if isinstance(item, list) and item and all(type(each) is int for each in item):
        return " ".join(f"token{each}" for each in item), len(item)
    raise BadRequest("'input' must be a text or a list of texts or of tokens, none of them empty.")


def document(answer: Answer) -> JsonObject:
    """Write an answer as JSON; the numbers have single precision in either format."""
    ask = answer.ask
    size = ask.dimensions or _USUAL
    data: list[JsonObject] = []
    for number, made in enumerate(answer.choices):
        packed = pack(f"<{size}f", *vector(made.text, size))
        form = ask.body.get("encoding_format")
        shown = b64encode(packed).decode() if form == "base64" else unpack(f"<{size}f", packed)
        data.append({"object": "embedding", "index": number, "embedding": shown})
    used = {"prompt_tokens": answer.usage.prompt, "total_tokens": answer.usage.prompt}
    return {"object": "list", "data": data, "model": ask.model, "usage": used}


def events(_: Answer) -> Iterator[bytes]:
    """Write nothing: vectors are not streamed."""
    return iter(())


EMBEDDINGS = Shape(
    path="/v1/embeddings",
    id_prefix=None,
    vendor=OPENAI,
    parse=parse,
    document=document,
    events=events,
    caches=lambda _: False,
)
