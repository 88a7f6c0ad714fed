"""Counts the round trips to Postgres: a proxy that reads what clients send.

A client waits for the server after each Sync (extended protocol) and each Query (simple
protocol), so these two messages are the round trips; what is waited for is named by its SQL. The
preparation of a statement, once per connection, is counted apart.
"""

from __future__ import annotations

import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_FUNCTION = re.compile(r"papayya\.(\w+_v\d+)")
_PUMP = frozenset(
    {
        *("lead_v1", "sweep_v1", "wake_v1", "claim_sends_v1", "expire_holds_v1"),
        *("unpark_v1", "admit_v1", "find_outliers_v1"),
    }
)
_OWNERS = "SELECT DISTINCT locked_by"
_HEADER = 5  # a type byte and a length of four


class Trips:
    """The round trips of a block, each by the SQL it ran; the pump's own are left out."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.preparations = 0

    def __len__(self) -> int:
        return len(self.named)

    @property
    def named(self) -> list[str]:
        """What each round trip was for: a function of the contract, or its SQL."""
        names = [_name(sql) for sql in self.statements]
        return [name for name in names if name not in _PUMP and not name.startswith(_OWNERS)]

    @property
    def counts(self) -> dict[str, int]:
        """How often each of them was made."""
        return dict(Counter(self.named))


def _name(sql: str) -> str:
    found = _FUNCTION.search(sql)
    return found.group(1) if found else sql


class _Messages:
    """Cuts one client's stream into messages and notes the round trips."""

    def __init__(self, note: _Note) -> None:
        self._note = note
        self._data = b""
        self._started = False
        self._statements: dict[bytes, str] = {}
        self._pending: str | None = None  # None: nothing was executed since the last Sync

    def feed(self, data: bytes) -> None:
        self._data += data
        while (message := self._next()) is not None:
            self._read(*message)

    def _next(self) -> tuple[bytes, bytes] | None:
        head = _HEADER if self._started else _HEADER - 1  # the start-up message has no type
        if len(self._data) < head:
            return None
        size = int.from_bytes(self._data[head - 4 : head]) + head - 4
        if len(self._data) < size:
            return None
        kind, body = self._data[: head - 4], self._data[head:size]
        self._data = self._data[size:]
        self._started = True
        return kind, body

    def _read(self, kind: bytes, body: bytes) -> None:
        if kind == b"P":
            name, sql = body.split(b"\0", 2)[:2]
            self._statements[name] = sql.decode()
        elif kind == b"B":
            self._pending = self._statements.get(body.split(b"\0", 2)[1], "?")
        elif kind == b"Q":
            self._note(body.rstrip(b"\0").decode())
        elif kind == b"S":
            self._note(self._pending)
            self._pending = None


class _Note:
    """Where the round trips of all clients go while somebody counts."""

    def __init__(self) -> None:
        self.trips: Trips | None = None

    def __call__(self, sql: str | None) -> None:
        if self.trips is None:
            return
        if sql is None:
            self.trips.preparations += 1
        else:
            self.trips.statements.append(sql)


class Proxy:
    """A TCP proxy in front of a Postgres server; ``dsn`` is the way through it."""

    def __init__(self, dsn: str) -> None:
        parts = conninfo_to_dict(dsn)
        self._server = str(parts.get("host") or "localhost"), int(parts.get("port") or 5432)
        self._note = _Note()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.dsn = make_conninfo(
            dsn,
            host="127.0.0.1",
            port=self._listener.getsockname()[1],
            sslmode="disable",
            gssencmode="disable",
        )
        self._run(self._accept)

    @contextmanager
    def counting(self) -> Iterator[Trips]:
        """Count the round trips of a block."""
        trips = self._note.trips = Trips()
        try:
            yield trips
        finally:
            self._note.trips = None

    def _run(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = self._connect()
                self._sockets += [client, server]
                self._run(self._pass, client, server, _Messages(self._note))
                self._run(self._pass, server, client, None)

    def _connect(self) -> socket.socket:
        host, port = self._server
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _pass(self, source: socket.socket, target: socket.socket, reader: _Messages | None) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if reader is not None:
                    reader.feed(data)
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Cut all connections."""
        for one in (self._listener, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(timeout=5.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()
