"""Fixtures of the tests with model clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import papayya_llm
from papayya_core import runtime
from papayya_core.testing.databases import Databases
from papayya_llm import schemas
from tests.integration.llm.world import StandIn, World
from tests.integration.plain.script import scripted


@pytest.fixture(scope="session")
def stand_in() -> Iterator[StandIn]:
    """One stand-in for all tests; each looks at what came since."""
    made = StandIn()
    yield made
    made.close()


@contextmanager
def _world(databases: Databases, template: str, stand_in: StandIn) -> Iterator[World]:
    with databases.copy_of(template) as name, scripted(databases.dsn(name)) as script:
        script.start(throttle=False)  # a refusal on purpose is not to hold up the tests after it
        yield World(script, stand_in)


@pytest.fixture(scope="module")
def _shared(
    papayya_databases: Databases, papayya_template: str, stand_in: StandIn
) -> Iterator[World]:
    with _world(papayya_databases, papayya_template, stand_in) as made:
        yield made


@pytest.fixture
def shared(_shared: World) -> World:
    """One database for the tests of a module that do not mind each other."""
    if runtime._runtime is None or runtime._runtime.settings.database_url != _shared.script.dsn:
        _shared.script.start(throttle=False)  # another test has had a process of its own
    return _shared


@pytest.fixture
def known_host(shared: World, request: pytest.FixtureRequest) -> Iterator[None]:
    """SDKs say who they are; for clients that do not, the stand-in's host is made known."""
    if "name" in request.fixturenames and "raw_httpx" in request.getfixturevalue("name"):
        papayya_llm.register_host(shared.url.partition("//")[2])
    yield
    schemas.forget()


@pytest.fixture
def world(
    papayya_databases: Databases, papayya_template: str, stand_in: StandIn
) -> Iterator[World]:
    """A database and a process for one test."""
    with _world(papayya_databases, papayya_template, stand_in) as made:
        yield made
