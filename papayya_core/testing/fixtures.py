"""Fixtures for tests that need a database; installed with Papayya, loaded by pytest on its own.

`papayya_database` is what most tests want. The server is the embedded one, or the one that
PAPAYYA_TEST_DATABASE_URL names. Heavy imports wait for the first use.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from papayya_core.testing.clock import Clock
    from papayya_core.testing.databases import Databases

URL_VARIABLE = "PAPAYYA_TEST_DATABASE_URL"


@pytest.fixture(scope="session")
def papayya_postgres() -> Iterator[str]:
    """The DSN of a Postgres server for the session; its role may create databases."""
    if url := os.environ.get(URL_VARIABLE):
        yield url
        return
    from papayya_core.testing.servers import throwaway_server

    with throwaway_server() as server:
        yield server.dsn


@pytest.fixture(scope="session")
def papayya_databases(papayya_postgres: str) -> Databases:
    """Makes and drops databases on the session's server."""
    from papayya_core.testing.databases import Databases

    return Databases(papayya_postgres, quick=papayya_postgres != os.environ.get(URL_VARIABLE))


@pytest.fixture(scope="session")
def papayya_template(papayya_databases: Databases) -> Iterator[str]:
    """The name of a migrated database that nothing connects to, to copy from."""
    with papayya_databases.template() as name:
        yield name


@contextmanager
def _fresh_runtime() -> Iterator[None]:
    """Give the process a runtime of its own for one test, which sees the test's environment."""
    from papayya_core import runtime

    runtime.reset()
    try:
        yield
    finally:
        runtime.reset()


@pytest.fixture
def papayya_database(
    papayya_databases: Databases, papayya_template: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The DSN of a migrated, empty database for one test; PAPAYYA_DATABASE_URL names it too."""
    with papayya_databases.copy_of(papayya_template) as name:
        dsn = papayya_databases.dsn(name)
        monkeypatch.setenv("PAPAYYA_DATABASE_URL", dsn)
        with _fresh_runtime():
            yield dsn


@pytest.fixture
def papayya_clock(papayya_database: str) -> Iterator[Clock]:
    """The clock of the test's database, to shift and to freeze; no test has to sleep."""
    from papayya_core.testing.clock import Clock

    with Clock(papayya_database) as clock:
        yield clock


@pytest.fixture
def papayya_empty_database(papayya_databases: Databases) -> Iterator[str]:
    """The DSN of a database for one test in which nothing was ever migrated."""
    with papayya_databases.copy_of("template0") as name:
        yield papayya_databases.dsn(name)


@pytest.fixture
def papayya_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for the embedded Postgres of one test; PAPAYYA_HOME names it too."""
    from papayya_core.testing.servers import throwaway_home

    with throwaway_home() as home:
        monkeypatch.setenv("PAPAYYA_HOME", str(home))
        yield home
