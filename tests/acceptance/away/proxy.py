"""A network between a script and Postgres that can fall silent: nothing is refused, nothing comes."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from papayya_core.embedded.server import PORT, Server


class Network:
    """Forwards TCP connections to an embedded server's socket, unless it is paused."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._open = threading.Event()
        self._open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]

    @property
    def dsn(self) -> str:
        """Where to connect to."""
        port = self._listener.getsockname()[1]
        return f"postgresql://papayya@127.0.0.1:{port}/papayya"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.set()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def pause(self) -> None:
        """Let nothing through any more; connections stand."""
        self._open.clear()

    def resume(self) -> None:
        """Let through what was held up, and all that comes."""
        self._open.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._sockets.append(near)
                threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        self._open.wait()
        far = socket.socket(socket.AF_UNIX)
        self._sockets.append(far)
        with suppress(OSError):
            far.connect(str(Path(self._server._socket_dir) / f".s.PGSQL.{PORT}"))
            threading.Thread(target=self._forward, args=(far, near), daemon=True).start()
        self._forward(near, far)

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._open.wait()
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
