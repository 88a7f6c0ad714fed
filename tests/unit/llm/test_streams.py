"""Watching a stream go by."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papayya_core.call import Answered, Tokens
from papayya_llm import schemas, streams
from papayya_llm.decoding import Decoder
from papayya_llm.streams import Filter, Watcher, without_usage
from tests.unit.llm.test_anthropic import STREAM as CLAUDE
from tests.unit.llm.test_bedrock import STREAM as CONVERSE
from tests.unit.llm.test_google import chunks
from tests.unit.llm.test_openai_chat import USAGE, chunk, piece
from tests.unit.llm.wire import amazon, hear, sse, watch

CHAT = schemas.by_name("openai.chat")
TEXT = [chunk(piece(content=word), usage=None) for word in ("Grüß ", "dich, ", "€!")]
END = chunk(piece(finish="stop"), usage=None)
COUNTED = chunk(usage=USAGE)
EVENTS = [*TEXT, END, COUNTED, "[DONE]"]
SPLITS = st.integers(1, 60)


def bare(data: bytes) -> bytes:
    """Compress without a header, as some servers take deflate to be."""
    made = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return made.compress(data) + made.flush()


@given(SPLITS, st.sampled_from(["\n", "\r\n", "\r"]))
def test_unchanged(size: int, end: str) -> None:
    """The caller gets the very bytes, and the copy is the same; the facts are those of the events."""
    stream = sse(*EVENTS, end=end)
    seen, watched = watch(Watcher(CHAT), stream, size)
    assert seen == stream == watched.body
    assert watched.answered == hear(CHAT, *EVENTS)
    assert watched.error is None


def test_unbuffered() -> None:
    """What comes in goes out at once: the same object, nothing held."""
    watcher = Watcher(CHAT)
    for half in (b"dat", b"a: {", b"}\n"):
        assert watcher.feed(half) is half
    assert watcher.flush() == b""


def test_named_events() -> None:
    """Named events are heard as others are."""
    seen, watched = watch(
        Watcher(schemas.by_name("anthropic.messages")), sse(*CLAUDE, named=True), 9
    )
    assert seen == watched.body
    assert watched.answered == hear(schemas.by_name("anthropic.messages"), *CLAUDE)


@given(SPLITS, st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from([0, 3, 5]))
def test_filtered(size: int, end: str, at: int) -> None:
    """The usage-only chunk is taken out, every other byte stays; the copy has them all."""
    rest = [*TEXT, END, "[DONE]"]
    stream = sse(*rest[:at], COUNTED, *rest[at:], end=end)
    seen, watched = watch(Watcher(CHAT, drop_usage=True), stream, size)
    assert seen == sse(*rest, end=end) == without_usage(stream)
    assert watched.body == stream
    assert watched.answered is not None
    assert watched.answered.tokens == Tokens(9, output=4)


@given(st.binary(max_size=200), SPLITS)
def test_filter_anything(data: bytes, size: int) -> None:
    """Bytes that are no usage pass a filter as they are, whatever they are."""
    sieve = Filter()
    halves = [data[at : at + size] for at in range(0, len(data), size)]
    assert b"".join(map(sieve.feed, halves)) + sieve.rest() == data


def test_a_filter_waits_for_one_event() -> None:
    """A filter holds back the event under way, and none that is complete."""
    sieve = Filter()
    first, second = sse(TEXT[0]), sse(TEXT[1])
    assert sieve.feed(first + second[:20]) == first
    assert sieve.held == second[:20]
    assert sieve.feed(second[20:]) == second


def test_a_filter_holds_back_little() -> None:
    """An event longer than usage can be passes before its end."""
    long = sse(chunk(piece(content="a" * 2 * streams.HELD_BACK)))
    sieve = Filter()
    assert len(sieve.feed(long[:-10])) > streams.HELD_BACK
    assert sieve.feed(sse(COUNTED)) != b""


def test_usage_with_output_stays() -> None:
    """A chunk that has choices besides its usage is the caller's, and so is one without usage."""
    for kept in (chunk(piece(content="a"), usage=USAGE), chunk(usage=None), chunk()):
        assert without_usage(sse(kept)) == sse(kept)


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress),
     ("deflate", bare), ("GZIP", lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:]))],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_encoded(encoding: str, encode: Any, size: int) -> None:
    """An encoded stream passes as it is, and is read and kept decoded."""
    stream = sse(*EVENTS)
    seen, watched = watch(Watcher(CHAT, content_encoding=encoding), encode(stream), size)
    assert seen == encode(stream)
    assert watched.body == stream
    assert watched.answered == hear(CHAT, *EVENTS)


def test_a_bomb() -> None:
    """A small body that decodes to a great one is decoded in pieces, and not kept."""
    stream = sse("x" * 3_000_000, *EVENTS)
    biggest = max(map(len, Decoder("gzip").feed(gzip.compress(stream))))
    _, watched = watch(Watcher(CHAT, content_encoding="gzip", keep=1000), gzip.compress(stream))
    assert biggest <= 64 * 1024
    assert watched.body is None
    assert watched.answered == hear(CHAT, *EVENTS)


def test_the_copy_has_a_limit() -> None:
    """Beyond its limit the copy is dropped, and reading goes on."""
    stream = sse(*EVENTS)
    seen, watched = watch(Watcher(CHAT, keep=len(stream) - 1), stream, 50)
    assert (seen, watched.body) == (stream, None)
    assert watched.answered is not None
    assert watched.answered.whole
    assert watch(Watcher(CHAT, keep=len(stream)), stream, 50)[1].body == stream


def test_the_first_output() -> None:
    """Output is noted with the chunk that brings it."""
    watcher = Watcher(CHAT)
    watcher.feed(sse(chunk(piece(role="assistant", content=""))))
    assert not watcher.wrote
    watcher.feed(sse(TEXT[0])[:-1])
    assert not watcher.wrote
    watcher.feed(b"\n")
    assert watcher.wrote


def test_the_end_is_seen() -> None:
    """A caller that stops at the end mark has had the whole answer."""
    watcher = Watcher(CHAT)
    watcher.feed(sse(*TEXT, END))
    assert not watcher.whole
    watcher.feed(sse(COUNTED))
    assert watcher.whole


def test_no_blank_line_at_the_end() -> None:
    """An end mark without its blank line counts."""
    stream = sse(*EVENTS)[:-2]
    seen, watched = watch(Watcher(CHAT, drop_usage=True), stream)
    assert seen == sse(*TEXT, END, "[DONE]")[:-2]
    assert watched.answered is not None
    assert watched.answered.whole


def test_a_stream_left() -> None:
    """A stream that the caller leaves is told as far as it was read."""
    watcher = Watcher(CHAT)
    watcher.feed(sse(*TEXT))
    answered = watcher.finish().answered
    assert answered is not None
    assert (answered.text, answered.whole) == ("Grüß dich, €!", False)


@pytest.mark.parametrize("size", [1, 13, 1 << 20])
def test_a_json_array(size: int) -> None:
    """Google's stream without events is an array, read element by element."""
    schema = schemas.by_name("google.generate")
    body = json.dumps(chunks(), indent=1).encode()
    watcher = Watcher(schema, "application/json; charset=UTF-8")
    seen, watched = watch(watcher, body, size)
    assert seen == body == watched.body
    assert watched.answered == hear(schema, *chunks())
    assert watcher.wrote


def test_a_plain_answer() -> None:
    """A server that does not stream after all is read as a whole answer."""
    body = {"id": "c", "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
    watcher = Watcher(CHAT, "application/json")
    _, watched = watch(watcher, json.dumps(body).encode(), 5)
    assert watched.answered == CHAT.answer(body)


def test_amazon_events() -> None:
    """Bedrock's own framing is read."""
    schema = schemas.by_name("bedrock.converse")
    frames = [amazon(name, held) for event in CONVERSE for name, held in event.items()]
    watcher = Watcher(schema, "application/vnd.amazon.eventstream")
    seen, watched = watch(watcher, b"".join(frames), 11)
    assert seen == b"".join(frames)
    assert watched.answered == hear(schema, *CONVERSE)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "gzip"])
def test_not_observed(encoding: str) -> None:
    """An encoding that we cannot read, or a false one, is told; the bytes pass."""
    stream = sse(*EVENTS)
    seen, watched = watch(Watcher(CHAT, content_encoding=encoding, drop_usage=True), stream, 7)
    assert seen == stream
    assert (watched.answered, watched.body) == (None, None)
    assert watched.error is not None
    assert watched.error.startswith("observer_error: ")


class Broken:
    """A format with a bug, at the n-th event."""

    name = "broken"
    volatile: frozenset[str] = frozenset()
    ask = answer = messages = None

    def __init__(self, good: int) -> None:
        self._good = good

    def stream(self) -> Broken:
        """Begin."""
        return self

    def feed(self, event: str | None, data: Any) -> bool:
        """Fail after some."""
        self._good -= 1
        if self._good < 0:
            raise RuntimeError("a bug")
        return False

    def done(self) -> Answered:
        """Fail."""
        raise RuntimeError("a bug at the end")


@pytest.mark.parametrize("good", [0, 2, 100])
def test_a_bug(good: int) -> None:
    """A bug in the observer is told at the end, and costs the caller nothing."""
    stream = sse(*EVENTS)
    broken: Any = Broken(good)
    watcher = Watcher(broken, drop_usage=True)
    seen, watched = watch(watcher, stream, 7)
    assert seen == without_usage(stream)
    assert not watcher.whole
    assert watched.error is not None
    assert watched.error.startswith("observer_error: RuntimeError: a bug")
    assert watched.body is None


def test_a_bug_in_the_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the filter fails, what it held back passes, and all that comes after."""
    stream = sse(*EVENTS)
    watcher = Watcher(CHAT, drop_usage=True)
    seen = watcher.feed(stream[:30])

    def fail(data: Any) -> bool:
        raise RuntimeError("a bug")

    monkeypatch.setattr(streams, "is_usage_only", fail)
    seen += b"".join(watcher.feed(stream[at : at + 40]) for at in range(30, len(stream), 40))
    assert seen + watcher.flush() == stream
    assert watcher.finish().error == "observer_error: RuntimeError: a bug"
