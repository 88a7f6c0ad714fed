"""Which account the embedded Postgres runs under, and where it may go."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from papayya_core.embedded import account, binaries
from papayya_core.embedded.account import Account

STRANGER = Account("a stranger", os.geteuid() + 4711, os.getegid() + 4711)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A directory that only its owner may enter, under ones that all may."""
    directory = tmp_path / "closed"
    directory.mkdir(mode=0o700)
    return directory


def test_stranger_is_stopped(tmp_path: Path) -> None:
    """The first directory on the way that others may not enter is the obstacle."""
    first = next((p for p in [*reversed(tmp_path.parents)] if not p.stat().st_mode & 1), tmp_path)
    tmp_path.chmod(0o700)
    assert account.obstacle(STRANGER, tmp_path / "not" / "made" / "yet") == first


def test_owner_and_group_pass(closed: Path) -> None:
    """The owner's and the group's own permissions count, not those of others."""
    here = closed.stat()
    owner = Account("the owner", here.st_uid, STRANGER.gid)
    group = Account("a member", STRANGER.uid, here.st_gid)
    assert account.obstacle(owner, closed) is None
    assert account.obstacle(group, closed) is not None
    closed.chmod(0o010)
    assert account.obstacle(group, closed) != closed


def test_ourselves(closed: Path) -> None:
    """Where no other account is needed, nothing is asked."""
    assert account.obstacle(None, closed) is None


def test_programs_are_copied(tmp_path: Path) -> None:
    """An account that can't reach the wheel gets a whole copy of its programs, once."""
    assert binaries.reachable(tmp_path, None).is_relative_to(Path(sys.prefix))
    copy = binaries._copy(tmp_path)
    assert (copy / "initdb").exists()
    assert binaries._copy(tmp_path) == copy
    assert [path.name for path in tmp_path.iterdir()] == [copy.parents[2].name]
