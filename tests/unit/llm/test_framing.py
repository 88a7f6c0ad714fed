"""Cutting streams into events."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papayya_llm.framing import AmazonEvents, Cutter, Event, JsonArray, ServerSent
from tests.unit.llm.wire import amazon

STREAMS = st.lists(
    st.sampled_from(
        [b"data:", b" ", b"a", b"\n", b"\r", b"\r\n", b"event: e", b": c", b"\xe2\x82\xac", b"{}"]
    ),
    max_size=40,
).map(b"".join)
CUTS = st.lists(st.integers(0, 120), max_size=12)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Split bytes at places; empty pieces stay."""
    places = [0, *sorted(cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


def run(cutter: Cutter, chunks: list[bytes]) -> list[Event]:
    """Cut chunks into events."""
    return [event for chunk in chunks for event in cutter.feed(chunk)] + cutter.rest()


def told(events: list[Event]) -> list[tuple[str | None, Any]]:
    """Give names and data of the events that carry any."""
    return [(event.name, event.data) for event in events if event.data is not None]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b'data: {"a":1}\n\n', [(None, {"a": 1})]),
        (b'data:{"a":1}\r\n\r\n', [(None, {"a": 1})]),
        (b'data: {"a":1}\r\r', [(None, {"a": 1})]),
        (b"event: ping\ndata: [DONE]\n\n", [("ping", "[DONE]")]),
        (b'data: {"a":\ndata: 1}\n\n', [(None, {"a": 1})]),
        (b"data: a\ndata: b\n\n", [(None, "a\nb")]),
        (b"data:  a\n\n", [(None, " a")]),
        (b"data\n\n", [(None, "")]),
        (b"\xef\xbb\xbfdata: a\n\n", [(None, "a")]),
        (b": keep-alive\n\nid: 7\nretry: 10\ndata: a\n\n", [(None, "a")]),
        (b"event: e\n\ndata: a\n\n", [(None, "a")]),
        (b"\n\n\n\ndata: a\n\n\n", [(None, "a")]),
        (b"data: a\n\r\ndata: b\r\n\n", [(None, "a"), (None, "b")]),
        (b"data: [DONE]", [(None, "[DONE]")]),
        ("data: h€llo\n\n".encode(), [(None, "h€llo")]),
        (b"data: \xff\n\n", [(None, "�")]),
        (b"", []),
    ],
)
def test_server_sent_events(stream: bytes, events: list[tuple[str | None, Any]]) -> None:
    """Events are read by the standard, whole and byte by byte."""
    assert told(run(ServerSent(), [stream])) == events
    assert told(run(ServerSent(), [bytes([byte]) for byte in stream])) == events


@given(STREAMS, CUTS)
def test_split_anywhere(stream: bytes, cuts: list[int]) -> None:
    """Wherever a stream is split, its events are the same, and their bytes are the stream."""
    events = run(ServerSent(), pieces(stream, cuts))
    assert told(events) == told(run(ServerSent(), [stream]))
    assert b"".join(event.raw for event in events) == stream


def test_at_once() -> None:
    """An event is given with its last byte, though a carriage return may yet get its other half."""
    cutter = ServerSent()
    assert told(cutter.feed(b"data: a\r\n\r")) == [(None, "a")]
    (half,) = cutter.feed(b"\n")
    assert (half.raw, half.follows) == (b"\n", True)


def test_an_event_too_long() -> None:
    """An event beyond the limit goes by unread; the next one is read."""
    cutter = ServerSent(most=50)
    long = b"data: " + b"a" * 200 + b"\n\n"
    stream = long + b"data: b\n\n"
    events = run(cutter, pieces(stream, list(range(0, len(stream), 7))))
    assert told(events) == [(None, "b")]
    assert b"".join(event.raw for event in events) == stream
    assert len(cutter.pending) == 0


def test_memory() -> None:
    """What is kept of an event without end stays within the limit."""
    cutter = ServerSent(most=100)
    for _ in range(100):
        cutter.feed(b"x" * 50)
        assert len(cutter.pending) <= 100


ARRAY = [{"a": 'q"[{\\'}, {"b": [1, {"c": "}"}]}, {"d": "€"}]


@given(CUTS, st.sampled_from([None, 1]), st.booleans())
def test_json_arrays(cuts: list[int], indent: int | None, ascii_only: bool) -> None:
    """Elements of an array are cut out, wherever it is split."""
    body = json.dumps(ARRAY, indent=indent, ensure_ascii=ascii_only).encode()
    events = run(JsonArray(), pieces(body, cuts))
    assert [event.data for event in events] == ARRAY


def test_no_array() -> None:
    """What is no array has no elements."""
    cutter = JsonArray()
    assert run(cutter, [b'{"a": [{"b": 1}], "c": {}}']) == []
    assert not cutter.array


def test_an_element_too_long() -> None:
    """An element beyond the limit goes by unread; the next one is read."""
    body = json.dumps([{"a": "x" * 100}, {"b": 1}]).encode()
    assert told(run(JsonArray(most=50), pieces(body, [20, 60]))) == [(None, {"b": 1})]


@given(CUTS)
def test_amazon_frames(cuts: list[int]) -> None:
    """Frames are read by their headers, wherever the stream is split."""
    stream = amazon("messageStart", {"role": "assistant"}) + amazon("metadata", {"usage": {}})
    stream += amazon("throttlingException", {"message": "slow"}, kind=":exception-type")
    assert told(run(AmazonEvents(), pieces(stream, cuts))) == [
        ("messageStart", {"role": "assistant"}),
        ("metadata", {"usage": {}}),
        ("throttlingException", {"message": "slow"}),
    ]


def test_no_frames() -> None:
    """What is no event stream is refused."""
    with pytest.raises(ValueError, match="a frame of"):
        AmazonEvents().feed(b"data: this is text\n\n")
