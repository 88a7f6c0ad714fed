"""Real processes for tests: what runs, and waiting for it without sleeping for it."""

from __future__ import annotations

import random
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 30.0
PORTS = range(20_000, 32_000)  # below the ports that systems give to clients
_PAUSE_S = 0.01


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the process table; `command` tells a fork from another program."""

    pid: int
    parent: int
    group: int
    command: str


def until(
    condition: Callable[[], T | None],
    what: str,
    deadline_s: float = PATIENCE_S,
    evidence: Callable[[], str] = str,
) -> T:
    """Wait until a condition returns something true, and return that.

    Raises AssertionError with `what` and the evidence when it takes longer than the deadline.
    """
    end = time.monotonic() + deadline_s
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline_s:.0f} s in vain: {what}\n{evidence()}")
        time.sleep(_PAUSE_S)
    return found


def free_port() -> int:
    """Find a port that nobody has, and that no client is given while its server is away."""
    while True:
        port = random.choice(PORTS)
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended and was not waited for does not."""
    return any(entry.pid == pid for entry in processes())


def members(group: int) -> list[int]:
    """List the processes of a group."""
    return [entry.pid for entry in processes() if entry.group == group]


def forks(pid: int) -> list[int]:
    """List the children of a process that run its own program, the oldest first."""
    table = {entry.pid: entry for entry in processes()}
    if pid not in table:
        return []
    mine = (e for e in table.values() if e.parent == pid and e.command == table[pid].command)
    return sorted(entry.pid for entry in mine)


def processes() -> list[Entry]:
    """List all processes but those that ended and were not waited for."""
    return _from_proc() if Path("/proc/self/stat").exists() else _from_ps()


def _from_proc() -> list[Entry]:
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent, group = (each / "stat").read_text().rpartition(")")[2].split()[:3]
            command = (each / "cmdline").read_bytes().decode(errors="replace")
            if state not in "ZX":
                found.append(Entry(int(each.name), int(parent), int(group), command))
    return found


def _from_ps() -> list[Entry]:
    listing = ["/bin/ps", "-A", "-ww", "-o", "pid=,ppid=,pgid=,state=,command="]
    lines = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split(maxsplit=4) for line in lines]
    return [
        Entry(int(pid), int(parent), int(group), "".join(command))
        for pid, parent, group, state, *command in rows
        if state[0] not in "ZX"
    ]
