"""Ends what the tests started when pytest is gone, however it went.

Run as a script: each line on stdin is ``+GROUP`` or ``-GROUP``, a process group to remember or to
forget; at the end of stdin, which the kernel sees to, those still remembered are killed.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache


class Watchdog:
    """Our end of the pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        atexit.register(self._process.communicate)

    def remember(self, group: int) -> None:
        """Kill this process group, too, when we are gone."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Leave this process group alone: it has ended, and its number may be another's."""
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()


@cache
def watchdog() -> Watchdog:
    """Return the one of this process."""
    return Watchdog()


def watch(lines: Iterable[str]) -> None:
    """Follow the orders until there are no more, then kill."""
    groups: set[int] = set()
    for line in lines:
        change = groups.add if line[0] == "+" else groups.discard
        change(int(line[1:]))
    for group in groups:
        with suppress(OSError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    watch(sys.stdin)
