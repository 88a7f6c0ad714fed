"""Where the servers of tests live."""

from __future__ import annotations

from pathlib import Path

import pytest

from papayya_core.testing import servers


def test_no_memory_to_live_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where a system has no directory in memory, servers live on the disk."""
    monkeypatch.setattr(servers, "_MEMORY", tmp_path / "none")
    assert servers._in_memory() is None


def test_room_to_live_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A directory in memory is taken if it has room, and only then."""
    monkeypatch.setattr(servers, "_MEMORY", tmp_path)
    monkeypatch.setattr(servers, "_ROOM", 1)
    assert servers._in_memory() == tmp_path
    monkeypatch.setattr(servers, "_ROOM", 1 << 62)
    assert servers._in_memory() is None
