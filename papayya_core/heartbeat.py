"""Renews the leases of one worker, from a process of its own that busy user code cannot starve.

Run as ``python -m papayya_core.heartbeat``: one JSON line on stdin says for whom; the end of stdin
or the worker's death ends it. A worker that is stopped (SIGSTOP, a suspended machine) is not
renewed: it only looks alive.
"""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psycopg

from papayya_core import owner as owners
from papayya_core import redaction
from papayya_core.settings import Settings
from papayya_core.store.sql import statements

logger = redaction.logger("papayya.heartbeat")


class Heartbeat:
    """Starts the renewal for this process, in the way the settings say, and stops it."""

    def __init__(self, dsn: str, settings: Settings, owner: str) -> None:
        self._job = {
            "dsn": dsn,
            "owner": owner,
            "lease": settings.lease_seconds,
            "every": settings.heartbeat_seconds,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._every = settings.heartbeat_seconds
        target = {"process": self._watch, "thread": self._loop}.get(settings.heartbeat)
        if settings.heartbeat == "process":
            self.ensure()
        if target is not None:
            threading.Thread(target=target, name="papayya-heartbeat", daemon=True).start()

    def ensure(self) -> None:
        """Start the process that renews, unless it is alive or was stopped."""
        with self._lock:
            alive = self._process is not None and self._process.poll() is None
            if not alive and not self._stop.is_set():
                _hang_up(self._process)
                self._process = _spawn(self._job)

    def _watch(self) -> None:
        """Start the process again when it dies, not more often than it would renew."""
        while self._process is not None:
            code = self._process.wait()
            if self._stop.wait(self._every):
                return
            logger.warning("the heartbeat's process ended (%s); starting another", code)
            try:
                self.ensure()
            except OSError as error:
                logger.warning("it cannot be started: %s", error)

    def _loop(self) -> None:
        beat = Beat(self._job)
        while not self._stop.wait(self._every):
            beat()

    def stop(self) -> None:
        """End the renewal."""
        with self._lock:  # nothing is started after this
            self._stop.set()
        process = self._process
        if process is None:
            return
        _hang_up(process)
        process.terminate()  # a forked child may hold the other end of its stdin, too
        try:
            process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _hang_up(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None and process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _spawn(job: dict[str, Any]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "papayya_core.heartbeat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the worker, which still finishes what it has
    )
    assert process.stdin is not None  # noqa: S101 - asked for above
    process.stdin.write(json.dumps(job).encode() + b"\n")
    process.stdin.flush()
    return process


class Beat:
    """One renewal over a connection that is opened again when it breaks.

    ``children``: owners whose leases are renewed, too.
    """

    def __init__(
        self, job: dict[str, Any], children: Callable[[], Iterable[str]] = tuple[str, ...]
    ) -> None:
        self._job = job
        self._children = children
        self._connection: psycopg.Connection[Any] | None = None

    def __call__(self) -> None:
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(
                    self._job["dsn"], autocommit=True, application_name="papayya-heartbeat"
                )
            owners = [self._job["owner"], *self._children()]
            params = {"owners": owners, "lease": self._job["lease"]}
            self._connection.execute(statements()["heartbeat"], params)
        except psycopg.Error as error:
            logger.warning("heartbeat failed: %s", error)
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def is_stopped(owner: str) -> bool:
    """Tell whether the worker is stopped; False where /proc does not tell."""
    try:
        stat = Path(f"/proc/{owner.split('/')[3]}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in "Tt"


def main() -> None:
    """Beat until the worker is gone."""
    job = json.loads(sys.stdin.buffer.readline())
    beat = Beat(job)
    while not select.select([sys.stdin], [], [], job["every"])[0]:
        if owners.is_dead(job["owner"]):
            return
        if not is_stopped(job["owner"]):
            beat()


if __name__ == "__main__":
    main()
