"""Fixtures of the engine's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.plain.script import Script, scripted


@pytest.fixture
def script(papayya_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """A process on a fresh database; nothing of it comes from the environment."""
    monkeypatch.delenv("PAPAYYA_DATABASE_URL")
    with scripted(papayya_database) as made:
        yield made
