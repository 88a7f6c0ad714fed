"""A real Redis that keeps nothing on disk, to be emptied, killed and started again."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import redis

from tests.support.processes import free_port
from tests.support.program import Program

VARIABLE = "PAPAYYA_TEST_REDIS_BIN"
DATABASES = 512


class RedisServer:
    """One server on one port, which it keeps when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.program = Program([*_command(), "--port", str(self.port)], folder, "redis")
        self._last = 0

    def url(self, database: int = 0) -> str:
        """Name one of its databases."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def fresh_url(self) -> str:
        """Name a database that is empty and that no living test has; start the server if need be."""
        self.start()
        self._last = self._last % (DATABASES - 1) + 1
        with self.client(self._last) as client:
            client.flushdb()
        return self.url(self._last)

    def client(self, database: int = 0) -> redis.Redis:
        """Make a client of our own, to be used in a with statement."""
        return redis.Redis.from_url(self.url(database), decode_responses=True)

    def start(self) -> None:
        """Start it, empty, on its port; nothing to do where it runs."""
        self.program.start(self.answers)

    def kill(self) -> None:
        """Kill it without warning: all data and connections are lost."""
        self.program.kill_group()

    def restart(self) -> None:
        """Kill it and start it, empty, on the same port."""
        self.kill()
        self.start()

    def flushall(self) -> None:
        """Empty all its databases; connections live on."""
        with self.client() as client:
            client.flushall()

    def answers(self) -> bool:
        """Tell whether it lets us in."""
        with suppress(redis.ConnectionError), self.client() as client:
            return bool(client.ping())
        return False


def _command() -> list[str]:
    options = {"bind": "127.0.0.1", "save": "", "appendonly": "no", "databases": str(DATABASES)}
    return [_program(), *(word for name in options for word in (f"--{name}", options[name]))]


def _program() -> str:
    found = shutil.which("redis-server", path=os.environ.get(VARIABLE))
    if found is None:
        raise FileNotFoundError(
            "the tests need redis-server, and it is not there: tools/brokers.sh installs it on"
            f" Debian; elsewhere name the directory that holds it in {VARIABLE}"
        )
    return found
