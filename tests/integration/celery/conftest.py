"""A scene per module; its items have names of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from papayya_core.testing.databases import Databases
from tests.integration.celery.scene import TASKS, MakeScene, Scene, Servers, scene
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="session")
def make_scene(
    papayya_databases: Databases,
    papayya_template: str,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> MakeScene:
    """Make a scene on Redis without a worker; keywords are environment variables of all in it."""

    @contextmanager
    def make(
        folder: str, *, module: Path = TASKS, results: str | None = None, **env: str
    ) -> Iterator[Scene]:
        url = redis_server.fresh_url()
        with papayya_databases.copy_of(papayya_template) as name:
            servers = Servers(papayya_databases.dsn(name), url, results or url)
            with scene(servers, tmp_path_factory.mktemp(folder), module=module, **env) as made:
                yield made

    return make
