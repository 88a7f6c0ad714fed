"""Cuts the connection of a statement that gets no answer in time.

The network may swallow an answer without a word, and libpq waits for as long as the kernel does. A
connection that is cut fails as if its server had died, in threads and on event loops alike; whoever
asked may ask again. What the server makes of the statement is not known then.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_EVERY = 0.1


class _Cutter:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.watched: dict[int, float] = {}  # a descriptor of the connection's socket → until when
        self.thread: threading.Thread | None = None

    def run(self) -> None:
        while True:
            time.sleep(_EVERY)
            with self.lock:
                now = time.monotonic()
                for fd in [fd for fd, until in self.watched.items() if until < now]:
                    del self.watched[fd]
                    _cut(fd)
                if not self.watched:
                    self.thread = None
                    return

    def watch(self, fd: int, seconds: float) -> None:
        with self.lock:
            self.watched[fd] = time.monotonic() + seconds
            if self.thread is None:
                thread = threading.Thread(target=self.run, name="papayya-cutter", daemon=True)
                with suppress(RuntimeError):  # at the exit of the interpreter: it is not cut, then
                    thread.start()
                    self.thread = thread

    def forget(self, fd: int) -> None:
        with self.lock:
            if self.watched.pop(fd, None) is not None:
                os.close(fd)


_cutter = _Cutter()


def _cut(fd: int) -> None:
    with suppress(OSError), socket.socket(fileno=fd) as found:
        found.shutdown(socket.SHUT_RDWR)


@contextmanager
def within(connection: Any, seconds: float) -> Iterator[None]:
    """Cut a psycopg connection unless the block is left in time."""
    cutter = _cutter
    fd = os.dup(connection.pgconn.socket)  # its own may be closed, and be another's, any time
    cutter.watch(fd, seconds)
    try:
        yield
    finally:
        cutter.forget(fd)


def _renew() -> None:
    """Threads do not live on in a child."""
    global _cutter  # noqa: PLW0603
    _cutter = _Cutter()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
