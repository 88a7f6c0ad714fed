"""Servers for the project's own tests: statements run on the oldest and newest Postgres."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from papayya_core.testing.servers import throwaway_server

pytest_plugins = ["tests.support.counts", "tests.support.celery_fixtures", "pytester"]

SERVERS = ("pg18", "pg15")
ON_EVERY_SERVER = ("integration", "migration")
ON_THE_NEWEST = ("celery", "llm")  # they cost more, and run the statements tested elsewhere
PG15_VARIABLE = "PAPAYYA_TEST_PG15_BIN"
PG15_DEFAULT = "/usr/lib/postgresql/15/bin"


def pytest_configure() -> None:
    """Let Ctrl-C be what it is for: a shell makes what it starts in the background ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what touches SQL on each server, all of one server's tests together."""
    stage, part, *_ = metafunc.definition.path.relative_to(Path(__file__).parent).parts
    everywhere = stage in ON_EVERY_SERVER and part not in ON_THE_NEWEST
    if everywhere and "papayya_postgres" in metafunc.fixturenames:
        metafunc.parametrize("papayya_postgres", SERVERS, indirect=True, scope="session")


@pytest.fixture(scope="session")
def papayya_postgres(request: pytest.FixtureRequest) -> Iterator[str]:
    """The DSN of a throwaway server: the embedded one, or Debian's Postgres 15."""
    with throwaway_server(_pg15() if getattr(request, "param", "") == "pg15" else None) as server:
        yield server.dsn


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio only."""
    return "asyncio"


def _pg15() -> Path:
    bin_dir = Path(os.environ.get(PG15_VARIABLE, PG15_DEFAULT))
    if not (bin_dir / "initdb").exists():
        pytest.skip(f"no Postgres 15 in {bin_dir}; install it, or name its bin in {PG15_VARIABLE}")
    return bin_dir


@pytest.fixture(autouse=True, scope="module")
def _apps_are_left() -> Iterator[None]:
    """Leave the Celery apps of a module to themselves: a pump in another would send for them."""
    yield
    apps: Any = sys.modules.get("papayya_celery.apps")
    for inst in apps.every() if apps is not None else ():
        apps.forget(inst.app)
