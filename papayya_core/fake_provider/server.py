"""The wires: HTTP/1.1 with keep-alive, one thread per connection."""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
import time
import traceback
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Condition
from typing import Any

from papayya_core.fake_provider import control, routes
from papayya_core.fake_provider.call import Call
from papayya_core.fake_provider.plan import Plan, document
from papayya_core.fake_provider.provider import Provider

MOST_BYTES = 64 * 2**20
_GONE = (ConnectionError, TimeoutError)
_PHRASES = {529: "Overloaded"}
_NO_LINGER = struct.pack("ii", 1, 0)


class Server(ThreadingHTTPServer):
    """Listens from the start; `serve_forever` serves, `drain` ends what is under way."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, host: str, port: int, provider: Provider) -> None:
        self.provider = provider
        self._busy = 0
        self._calm = Condition()
        self._stopping, self._stop = socket.socketpair()
        super().__init__((host, port), Handler)

    def server_bind(self) -> None:
        """Bind without asking the resolver for our own name, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.server_name}:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent about clients that went away; report our own mistakes."""
        if not isinstance(sys.exc_info()[1], _GONE):
            super().handle_error(request, client_address)

    def count(self, change: int) -> None:
        """Count the requests under way."""
        with self._calm:
            self._busy += change
            self._calm.notify_all()

    def drain(self, patience_s: float) -> None:
        """Cut all waits short, and give what is being sent a moment to end."""
        self._stop.send(b"\0")
        with self._calm:
            self._calm.wait_for(lambda: self._busy == 0, patience_s)

    def pause(self, client: socket.socket, seconds: float) -> bool:
        """Wait, but not longer than the server runs; False at once if the client goes away."""
        deadline = time.monotonic() + seconds
        watched = [self._stopping, client]
        while ready := _readable(watched, deadline - time.monotonic()):
            if client.fileno() in ready and _hung_up(client):
                return False
            if self._stopping.fileno() in ready:
                return True
            watched.remove(client)  # it sent its next request ahead of time
        return True


def _readable(watched: list[socket.socket], seconds: float) -> set[int]:
    """Wait until there is something to read, and say where."""
    poll = select.poll()
    for each in watched:
        poll.register(each, select.POLLIN)
    return {file for file, _ in poll.poll(max(0.0, seconds) * 1_000)}


def _hung_up(client: socket.socket) -> bool:
    """Say whether what can be read is the end."""
    try:
        return client.recv(1, socket.MSG_PEEK) == b""
    except _GONE:
        return True


class Handler(BaseHTTPRequestHandler):
    """Reads requests, and carries out the plans to answer them."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Serve a GET."""
        self._counted()

    def do_POST(self) -> None:
        """Serve a POST."""
        self._counted()

    def do_DELETE(self) -> None:
        """Serve a DELETE."""
        self._counted()

    def _counted(self) -> None:
        """Serve a request, which counts as under way meanwhile."""
        self.server.count(+1)
        try:
            self._serve()
        finally:
            self.server.count(-1)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep no access log: the ledger is one."""

    def _serve(self) -> None:
        """Answer one request, and write down whether that went well."""
        body = self._body()
        if body is None:
            self.close_connection = True
            return
        plan = self._plan(body)
        delivered = self._carry_out(plan)
        self.close_connection = self.close_connection or not delivered
        if plan.entry is not None:
            self.server.provider.end(plan.entry, delivered=delivered)

    def _body(self) -> bytes | None:
        """Read the body; None if there is no way to."""
        length = self.headers.get("content-length", "0")
        if "transfer-encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self._send(_rejected(411, "Send the body with a Content-Length."))
            return None
        if int(length) > MOST_BYTES:
            self._send(_rejected(413, f"The body is longer than {MOST_BYTES} bytes."))
            return None
        body = self.rfile.read(int(length))
        return body if len(body) == int(length) else None

    def _plan(self, body: bytes) -> Plan:
        """Find out how to answer; whatever goes wrong here is a 500 and is shown."""
        provider = self.server.provider
        try:
            if self.command == "POST" and routes.find(self.path):
                return provider.answer(Call(self.path, self._headers(), body))
            return control.handle(provider, self.command, self.path, body)
        except Exception as wrong:  # noqa: BLE001 - the client must not wait for an answer
            traceback.print_exc()
            return _rejected(500, f"The stand-in itself failed: {wrong!r}.")

    def _headers(self) -> dict[str, str]:
        """Give the headers by lower-case names, as UTF-8 where they are not ASCII."""
        return {
            name.lower(): value.encode("latin-1", "replace").decode("utf-8", "replace")
            for name, value in self.headers.items()
        }

    def _carry_out(self, plan: Plan) -> bool:
        """Wait and send; False unless all was handed over to a client that was still there."""
        stayed = self.server.pause(self.connection, plan.wait_s)
        if stayed and plan.torn:
            self._tear()
        if plan.silent or not stayed:
            return False
        try:
            self._send(plan)
        except _GONE:
            return False
        return plan.whole

    def _tear(self) -> None:
        """Reset the connection: closed without lingering, it sends RST in place of an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        os.close(self.connection.detach())

    def _send(self, plan: Plan) -> None:
        """Send a plan's frames: in one write with a length, chunk by chunk without."""
        size = "transfer-encoding: chunked"
        if plan.length is not None:
            size = f"content-length: {plan.length}"
        lines = [
            f"HTTP/1.1 {plan.status} {_phrase(plan.status)}",
            f"date: {self.date_time_string()}",
            size,
            *(f"{name}: {value}" for name, value in plan.headers.items()),
            *(["connection: close"] if self.close_connection else []),
        ]
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        if plan.length is not None:
            self.wfile.write(head + b"".join(plan.frames))
            return
        self.wfile.write(head)
        for frame in plan.frames:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(frame), frame))
        if plan.whole:
            self.wfile.write(b"0\r\n\r\n")


def _phrase(status: int) -> str:
    """Name a status."""
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else _PHRASES.get(status, "Error")


def _rejected(status: int, message: str) -> Plan:
    """Plan an error that is not about a model's answer."""
    return document(status, {"type": "error", "error": {"type": "api_error", "message": message}})
