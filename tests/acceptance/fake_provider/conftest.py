"""Stand-ins for the tests of the stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.fake_provider.stand_in import StandIn


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """Start one stand-in for the tests that do not mind each other."""
    with StandIn(tmp_path_factory.mktemp("shared")) as stand_in:
        yield stand_in


@pytest.fixture
def own(tmp_path: Path) -> Iterator[StandIn]:
    """Start a stand-in for one test."""
    with StandIn(tmp_path) as stand_in:
        yield stand_in
