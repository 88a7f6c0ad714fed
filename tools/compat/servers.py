"""A Redis for all runs of the suite, and a Postgres for each that needs one; gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from papayya_core import migrate
from papayya_core.testing.servers import throwaway_server
from tests.support.redis_server import RedisServer

BY_STATE = "SELECT state::text, count(*) FROM papayya.item GROUP BY state ORDER BY state"


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Run a Redis on a free port, with nothing on disk."""
    with tempfile.TemporaryDirectory(prefix="papayya-compat-") as folder:
        server = RedisServer(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.kill()


def redis_version(server: RedisServer) -> str:
    """Return the version of a server that runs."""
    with server.client() as client:
        return str(client.info("server")["redis_version"])


@contextmanager
def postgres() -> Iterator[str]:
    """Run a Postgres with a migrated database, and yield its DSN."""
    with throwaway_server() as server:
        migrate.apply(server.dsn)
        yield server.dsn


def items_by_state(dsn: str) -> dict[str, int]:
    """Count the items that the installation recorded."""
    with psycopg.connect(dsn) as conn:
        return dict(conn.execute(BY_STATE).fetchall())
