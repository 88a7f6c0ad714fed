"""The fixtures of these tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.money.till import Till
from tests.chaos.budget_chaos import Plan, Report
from tests.chaos.purse import Purse

Unleash = Callable[[Callable[[Plan, Purse, ExitStack], Report], Plan], Report]


@pytest.fixture
def unleash(papayya_database: str, tmp_path: Path) -> Iterator[Unleash]:
    """Run a scenario of budget_chaos on a fresh database; what it leaves running is killed."""
    with ExitStack() as stack:
        yield lambda act, plan: act(plan, Purse(papayya_database, tmp_path, stack), stack)


@pytest.fixture
def till(papayya_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Till]:
    """A stand-in provider with its prices known, and clients in this process to spend with."""
    with ExitStack() as stack:
        yield Till(papayya_database, tmp_path, stack, monkeypatch)
