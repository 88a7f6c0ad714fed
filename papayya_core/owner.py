"""Who this process is, so that a lease can be told to belong to a dead one.

An owner reads ``host/machine/pid-namespace/pid/start``. Only a process in the same pid namespace
of the same boot can be told dead for sure; everybody else is judged by the lease alone.
"""

from __future__ import annotations

import os
import socket
import uuid
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PARTS = 5


def owner() -> str:
    """Name this process; the same string for as long as it lives, another after a fork."""
    return _owner(os.getpid())


def owner_of(pid: int) -> str:
    """Name another process of this machine and namespace."""
    return _owner.__wrapped__(pid)


@cache
def _owner(pid: int) -> str:
    return f"{_place()}/{pid}/{_started(pid) or uuid.uuid4().hex[:8]}"


@cache
def _place() -> str:
    host = socket.gethostname().replace("/", "-")
    return f"{host}/{_boot()}/{_namespace()}"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return f"{uuid.getnode():x}"


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        return "-"


def _started(pid: int) -> str | None:
    """Return the kernel's start time of a process, None where /proc does not tell or it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def is_dead(name: str) -> bool:
    """Tell whether an owner is certainly dead; False when that cannot be known from here."""
    parts = name.split("/")
    if len(parts) != _PARTS or "/".join(parts[:3]) != _place() or not parts[3].isdigit():
        return False
    pid = int(parts[3])
    if Path("/proc/self/stat").exists():
        return _started(pid) != parts[4]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def dead(owners: Iterable[str]) -> list[str]:
    """Pick the owners that are certainly dead."""
    return [name for name in owners if is_dead(name)]
