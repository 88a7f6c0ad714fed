"""The account Postgres runs under: our own, unless we are root, whom it refuses."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

CANDIDATES = ("papayya", "postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """A system account that is not root; `name` is for people."""

    name: str
    uid: int
    gid: int


def choose(data: Path) -> Account | None:
    """Pick the owner of existing data, else an unprivileged account; None means our own."""
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(f"the owner of {data}", owner.st_uid, owner.st_gid)
    entry = next(e for e in map(_find, CANDIDATES) if e is not None)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def obstacle(who: Account | None, path: Path) -> Path | None:
    """Name the first directory on the way to `path` (itself too) that `who` may not enter."""
    if who is None:
        return None
    steps = [step for step in (*reversed(path.parents), path) if step.exists()]
    return next((step for step in steps if not _may_enter(who, step.stat())), None)


def _may_enter(who: Account, entry: os.stat_result) -> bool:
    if entry.st_uid == who.uid:
        return bool(entry.st_mode & stat.S_IXUSR)
    if entry.st_gid == who.gid:
        return bool(entry.st_mode & stat.S_IXGRP)
    return bool(entry.st_mode & stat.S_IXOTH)


def _find(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None
