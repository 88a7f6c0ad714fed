"""The fixture of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.llm.world import World, world


@pytest.fixture
def hello(papayya_database: str, tmp_path: Path) -> Iterator[World]:
    """A world on a fresh database."""
    with world(papayya_database, tmp_path) as made:
        yield made
