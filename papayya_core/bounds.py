"""What a call may use at most, and what it used at least where the provider does not say."""

from __future__ import annotations

from typing import NamedTuple

from papayya_core.call import Answered, Asked, Tokens

_IMAGE = 25_000  # more than any provider's table counts for one image at its full size, but one
_COUNTED_MORE = ("4o-mini", 50_000)  # up to 2,833 and 5,667 for each of 8 tiles
_IMAGES = {
    "anthropic": 5_000,
    "aws.bedrock": 5_000,
    "azure.ai.openai": 50_000,  # which model it is, its name does not tell
    "gcp.gemini": 6_000,
    "gcp.vertex_ai": 6_000,
}
_MOST = 2**62
_BYTES, _USUAL_IMAGE, _MOST_GUESSED = 4, 1_000, 2**31 - 1
_WIDEST = 8  # characters of one token, at most, in text that is not white space


class Bound(NamedTuple):
    """Tokens at most; ``output`` None: the request sets no limit, nor does its model."""

    prompt: int
    output: int | None


def bound(asked: Asked) -> Bound:
    """Bound the tokens of a request: no tokeniser makes more than one of each byte."""
    name, more = _COUNTED_MORE
    image = more if name in asked.model else _IMAGES.get(asked.provider, _IMAGE)
    images = asked.images * image
    output = None if asked.max_tokens is None else min(asked.max_tokens * asked.samples, _MOST)
    return Bound(min(asked.body_bytes + images, _MOST), output)


def guess(asked: Asked) -> int:
    """Guess the tokens of a prompt, for rate limits: four bytes each, as English text has them."""
    return min(asked.body_bytes // _BYTES + asked.images * _USUAL_IMAGE, _MOST_GUESSED)


def dearest(most: Bound) -> tuple[Tokens, ...]:
    """List the ways in which the bound may be paid; the dearest of them is its price."""
    output = most.output or 0
    return (
        Tokens(input=most.prompt, output=output),
        Tokens(cache_write=most.prompt, output=output),
        Tokens(cache_write_1h=most.prompt, output=output),
    )


def used(asked: Asked, answered: Answered) -> tuple[Tokens, bool]:
    """Return the tokens of an answer, and whether they are an estimate.

    A stream that broke off tells little: what was seen of it is counted, low rather than high. Of
    a prompt nobody knows how much came from a cache, which is the cheapest: all of it is counted so.
    """
    told = answered.tokens
    if told is not None and answered.whole:
        return told, False
    output = answered.seen // _WIDEST
    if told is not None and told.prompt:
        least = max(told.output, output)
        parts = (told.input, told.cache_read, told.cache_write, told.cache_write_1h)
        return Tokens(*parts, output=least, reasoning=told.reasoning), True
    return Tokens(cache_read=asked.body_bytes // _WIDEST, output=output), True
