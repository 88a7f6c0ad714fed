"""Answers in gzip: whole ones, and streams that can be read event by event."""

from __future__ import annotations

import gzip
import zlib

import pytest

from papayya_core.fake_provider.ledger import Ledger
from papayya_core.fake_provider.provider import Provider
from tests.unit.fake_provider.asking import CHAT, MESSAGES, ask

WANTS = {"accept-encoding": "gzip, deflate", "x-fake-gzip": "1"}


def test_who_gets_gzip() -> None:
    """Gzip takes a client that reads it, and the setting or the client's wish."""
    for setting, headers, zipped in (
        (False, WANTS, True),
        (True, {"accept-encoding": "br, GZIP"}, True),
        (True, {}, False),
        (False, {"x-fake-gzip": "1"}, False),
        (False, {"accept-encoding": "gzip"}, False),
    ):
        plan = ask(Provider(Ledger(None), gzip=setting), headers=headers)
        assert (plan.headers.get("content-encoding") == "gzip") == zipped


@pytest.mark.parametrize("headers", [{}, {"x-fake-fault": "server_error"}])
def test_document(headers: dict[str, str]) -> None:
    """A zipped answer or error is the plain one, and its length is that of what is sent."""
    plain = ask(Provider(Ledger(None)), headers=headers)
    packed = ask(Provider(Ledger(None)), headers=WANTS | headers)
    (body,) = packed.frames
    assert (packed.length, gzip.decompress(body)) == (len(body), b"".join(plain.frames))


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_stream(path: str) -> None:
    """Each event can be read as soon as its frame has come, and the last frame ends the file."""
    plain = ask(Provider(Ledger(None)), path, stream=True)
    packed = ask(Provider(Ledger(None)), path, WANTS, stream=True)
    reader = zlib.decompressobj(wbits=31)
    assert tuple(reader.decompress(frame) for frame in packed.frames) == plain.frames
    assert reader.eof


def test_cut_stream() -> None:
    """A cut counts events, zipped or not, and a cut file has no end."""
    cut = {"x-fake-fault": "cut_stream;after=3"}
    plain = ask(Provider(Ledger(None)), headers=cut, stream=True)
    packed = ask(Provider(Ledger(None)), headers=WANTS | cut, stream=True)
    reader = zlib.decompressobj(wbits=31)
    assert reader.decompress(b"".join(packed.frames)) == b"".join(plain.frames)
    assert (len(packed.frames), reader.eof) == (3, False)
