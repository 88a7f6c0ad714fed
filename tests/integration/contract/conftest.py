"""Fixtures of the contract's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from tests.integration.contract.sql import Contract


@pytest.fixture
def connect(papayya_database: str) -> Iterator[Callable[[str], Contract]]:
    """Makes workers, each with a connection of its own."""
    with ExitStack() as stack:

        def make(owner: str) -> Contract:
            made = Contract(papayya_database, owner)
            stack.enter_context(closing(made.connection))
            return made

        yield make


@pytest.fixture
def db(connect: Callable[[str], Contract]) -> Contract:
    """The worker w1."""
    return connect("w1")
