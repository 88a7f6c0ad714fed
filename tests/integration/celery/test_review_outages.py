"""What a worker has in hand while Postgres is away longer than anybody's patience."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from papayya_core.testing.databases import Databases
from tests.integration.celery.scene import TASKS, Scene, Servers, scene
from tests.support.redis_server import RedisServer

MODULE = TASKS.with_name("review_tasks.py")


class Outage:
    """Shuts the database of a scene for everybody, and opens it again."""

    def __init__(self, admin: str, name: str) -> None:
        self._admin, self._name = admin, name

    def begin(self) -> None:
        """Let nobody in, and throw out who is in."""
        self._let("false")
        with psycopg.connect(self._admin, autocommit=True) as connection:
            out = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(out, [self._name])

    def end(self) -> None:
        """Let everybody in."""
        self._let("true")

    def _let(self, word: str) -> None:
        with psycopg.connect(self._admin, autocommit=True) as connection:
            what = f'ALTER DATABASE "{self._name}" ALLOW_CONNECTIONS {word}'
            connection.execute(what.encode())


@pytest.fixture
def outage(
    papayya_databases: Databases,
    papayya_template: str,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Scene, Outage]]:
    """One worker without patience, and how to take its database away."""
    url, folder = redis_server.fresh_url(), tmp_path_factory.mktemp("o")
    with papayya_databases.copy_of(papayya_template) as name:
        servers = Servers(papayya_databases.dsn(name), url, url)
        with scene(servers, folder, module=MODULE, PAPAYYA_DB_PATIENCE="0.5") as made:
            made.start()
            outage = Outage(papayya_databases.dsn("postgres"), name)
            try:
                yield made, outage
            finally:
                outage.end()


def test_end_is_written_when_postgres_is_back(outage: tuple[Scene, Outage]) -> None:
    """A body that ends during an outage is not run again, and its item does not stay running."""
    stage, postgres = outage
    result = stage.tasks.gated.delay("done", "open")
    stage.until(lambda: stage.lines("gates"), "its body has begun")
    postgres.begin()
    stage.touch("open")
    stage.until(lambda: "cannot be written yet" in stage.worker.said(), "it waits for Postgres")
    postgres.end()
    assert result.get(timeout=20) == "done"
    stage.until(lambda: stage.state(result.id) == "completed", "its item has ended")
    assert stage.lines("gates") == ["open"]
