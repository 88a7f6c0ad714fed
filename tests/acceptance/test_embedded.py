"""The embedded Postgres, shared by real processes that come, go and are killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from papayya_core import embedded
from papayya_core.embedded.server import process_exists

USER = """
import sys
from pathlib import Path
from papayya_core import embedded
print(embedded.ensure(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""
FORK = """
import os, sys
from pathlib import Path
from papayya_core import embedded
embedded.ensure(Path(sys.argv[1]))
if os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
"""


class Process:
    """A process that uses the server of `home` until it is told to leave."""

    def __init__(self, home: Path, script: str = USER) -> None:
        command = [sys.executable, "-c", script, str(home)]
        self.popen = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def dsn(self) -> str:
        """Wait until the server is up."""
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def leave(self) -> None:
        """Let it end by itself, and wait for that."""
        self.popen.communicate(timeout=60)

    def kill(self) -> None:
        """Kill it without a chance to clean up."""
        self.popen.kill()
        self.popen.communicate(timeout=60)


def answers(dsn: str) -> bool:
    """Say whether the server lets us in."""
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError:
        return False
    return True


def server_pid(home: Path) -> int:
    """Read the server's process id."""
    return int((home / "pg" / "postmaster.pid").read_text().split("\n")[0])


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, at most a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def test_last_one_stops_it(papayya_home: Path) -> None:
    """The server stays for the processes that remain, and stops with the last."""
    first, second = Process(papayya_home), Process(papayya_home)
    dsn = first.dsn()
    assert second.dsn() == dsn
    first.leave()
    assert answers(dsn)
    second.leave()
    assert not answers(dsn)


def test_many_at_once(papayya_home: Path) -> None:
    """Processes that start together make one cluster and share it."""
    processes = [Process(papayya_home) for _ in range(6)]
    [dsn] = {process.dsn() for process in processes}
    with psycopg.connect(dsn) as conn:
        assert conn.info.dbname == "papayya"
    for process in processes:
        process.leave()
    assert not answers(dsn)


def test_killed_user(papayya_home: Path) -> None:
    """A killed process leaves the data and the server, and no claim on it."""
    killed = Process(papayya_home)
    dsn = killed.dsn()
    with psycopg.connect(dsn) as conn:
        conn.execute("CREATE TABLE kept ()")
    killed.kill()
    assert answers(dsn)
    heir = Process(papayya_home)
    with psycopg.connect(heir.dsn()) as conn:
        conn.execute("TABLE kept")
    heir.leave()
    assert not answers(dsn)


def test_killed_server(papayya_home: Path) -> None:
    """A server that was killed is started again by the next call, with what was committed."""
    dsn = embedded.ensure(papayya_home)
    with psycopg.connect(dsn) as conn:
        conn.execute("CREATE TABLE kept ()")
    os.kill(server_pid(papayya_home), signal.SIGKILL)
    until(lambda: not answers(dsn))
    assert embedded.ensure(papayya_home) == dsn
    with psycopg.connect(dsn) as conn:
        conn.execute("TABLE kept")


def test_number_taken_over(papayya_home: Path) -> None:
    """A server's old process id that now belongs to another program is no obstacle."""
    dsn = embedded.ensure(papayya_home)
    with subprocess.Popen(["sleep", "600"], user=(papayya_home / "pg").owner()) as other:
        lines = (papayya_home / "pg" / "postmaster.pid").read_text().split("\n")
        assert embedded.stop(papayya_home)
        pid_file = papayya_home / "pg" / "postmaster.pid"
        pid_file.write_text("\n".join([str(other.pid), *lines[1:]]))
        assert embedded.ensure(papayya_home) == dsn
        assert answers(dsn)
        assert process_exists(other.pid)
        other.kill()


def test_forked_child(papayya_home: Path) -> None:
    """The server stays for a forked child when its parent ends."""
    parent = Process(papayya_home, FORK)
    assert parent.popen.stdin is not None
    assert parent.popen.wait(60) == 0
    assert embedded.status(papayya_home).running
    parent.leave()


def test_status(papayya_home: Path) -> None:
    """The status tells of a server without starting one."""
    before = embedded.status(papayya_home)
    assert (before.installed, before.initialised, before.running) == (True, False, False)
    dsn = embedded.ensure(papayya_home)
    after = embedded.status(papayya_home)
    assert (after.initialised, after.running, after.dsn) == (True, True, dsn)
    assert after.log.exists()
    assert embedded.stop(papayya_home)
    assert not embedded.status(papayya_home).running
    assert not embedded.stop(papayya_home)


def test_long_path(papayya_home: Path) -> None:
    """A path longer than a socket's name may be, with a space in it, works."""
    home = papayya_home / ("deep" * 30) / "with space"
    dsn = embedded.ensure(home)
    assert answers(dsn)
    embedded.stop(home)
    shutil.rmtree(str(psycopg.conninfo.conninfo_to_dict(dsn)["host"]))


def test_killed_while_initialising(papayya_home: Path) -> None:
    """A half-made cluster of a killed start is made anew."""
    half = papayya_home / "pg.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    assert answers(embedded.ensure(papayya_home))


def test_threads(papayya_home: Path) -> None:
    """Threads of one process may all ask at once."""
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(embedded.ensure, [papayya_home] * 8))) == 1
