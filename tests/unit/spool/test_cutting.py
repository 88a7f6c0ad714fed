"""A connection without an answer is cut in time; one that answers is not touched."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from papayya_core.store import cutting
from papayya_core.store.cutting import within


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Connect two sockets."""
    here, there = socket.socketpair()
    with here, there:
        here.settimeout(20)
        yield here, there


def connection(here: socket.socket) -> Any:
    """Make what looks like a connection as far as its socket goes."""
    return SimpleNamespace(pgconn=SimpleNamespace(socket=here.fileno()))


def open_files() -> int:
    """Count the open files of this process, where the system tells."""
    return len(list(Path("/proc/self/fd").glob("*")))


def test_cut(pair: tuple[socket.socket, socket.socket]) -> None:
    """Waiting for an answer ends as if the other side had gone."""
    here, _ = pair
    with within(connection(here), 0.05):
        assert here.recv(1) == b""


def test_answered_in_time(pair: tuple[socket.socket, socket.socket]) -> None:
    """A connection that answered is as it was, and nothing of the watch is left open."""
    here, there = pair
    before = open_files()
    with within(connection(here), 30):
        there.send(b"x")
        assert here.recv(1) == b"x"
    there.send(b"y")
    assert here.recv(1) == b"y"
    assert open_files() == before


def test_no_thread(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no thread can be begun, as at the exit of a process, a statement runs without a limit."""

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    here, there = pair
    before = open_files()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        patch.setattr(cutting, "_cutter", cutting._Cutter())
        with within(connection(here), 30):
            there.sendall(b"x")
            assert here.recv(1) == b"x"
    assert open_files() == before
