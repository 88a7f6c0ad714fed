"""The fixtures of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.recovery.processes import StandIn
from tests.acceptance.recovery.world import World


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandIn]:
    """Start a stand-in that takes 20 to 60 ms for an answer."""
    started = StandIn(tmp_path, "--latency-ms", "20:60")
    yield started
    started.process.end()


@pytest.fixture
def world(papayya_database: str, tmp_path: Path, stand_in: StandIn) -> Iterator[World]:
    """Make a world on a fresh database; what a test leaves running is killed."""
    made = World(papayya_database, tmp_path, stand_in)
    yield made
    for process in made.processes:
        process.end()
