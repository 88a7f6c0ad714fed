"""An arena per module and broker; its items have names of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from papayya_core.testing.databases import Databases
from tests.acceptance.celery.arena import Arena, arena
from tests.support.redis_server import RedisServer

MakeArena = Callable[..., AbstractContextManager[Arena]]


@pytest.fixture(scope="session")
def make_arena(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    papayya_databases: Databases,
    papayya_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> MakeArena:
    """Make an arena without a worker; keywords are environment variables of all in it."""

    @contextmanager
    def make(broker: str = "redis", **env: str) -> Iterator[Arena]:
        results = redis_server.fresh_url()
        url = results
        if broker == "rabbitmq":
            url = request.getfixturevalue("rabbitmq_server").fresh_url()
        folder = tmp_path_factory.mktemp("fire")
        with (
            papayya_databases.copy_of(papayya_template) as name,
            arena(papayya_databases.dsn(name), folder, url, results, **env) as made,
        ):
            yield made

    return make


@pytest.fixture(scope="module")
def broker(request: pytest.FixtureRequest) -> str:
    """Name the broker: Redis, unless the test says otherwise."""
    return str(getattr(request, "param", "redis"))


@pytest.fixture(scope="module")
def fire(broker: str, make_arena: MakeArena) -> Iterator[Arena]:
    """An arena with a worker of four children."""
    with make_arena(broker) as made:
        made.start_worker()
        yield made
