"""Brokers and workers for the tests; nothing starts before a test asks for it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.celery_modules import forgotten_tasks
from tests.support.celery_worker import CeleryWorker, StartWorker
from tests.support.rabbitmq_server import RabbitServer
from tests.support.redis_server import RedisServer

LoadApp = Callable[[Path], ModuleType]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis for the whole session, to flush, kill and start again."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty database on a running Redis: broker, results, or both."""
    return redis_server.fresh_url()


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A real RabbitMQ for the whole session, to kill and start again; up in five seconds."""
    server = RabbitServer(tmp_path_factory.mktemp("rabbitmq"))
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def amqp_url(rabbitmq_server: RabbitServer) -> str:
    """The URL of a virtual host without queues on a running RabbitMQ."""
    return rabbitmq_server.fresh_url()


@pytest.fixture
def celery_worker(tmp_path: Path) -> Iterator[StartWorker]:
    """Start workers; what still runs at the end of the test is killed."""
    started: list[CeleryWorker] = []

    def start(
        module: Path,
        *,
        pool: str = "prefork",
        concurrency: int = 2,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> CeleryWorker:
        name = f"worker{len(started)}"
        worker = CeleryWorker(
            module, tmp_path, name=name, pool=pool, concurrency=concurrency, args=args, env=env
        )
        started.append(worker)
        worker.start()
        return worker

    yield start
    for worker in started:
        worker.program.kill_group()


@pytest.fixture
def load_app(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoadApp]:
    """Import a module's file as a worker does, to publish from the test; close its `app` after.

    What the module reads from the environment must be set before, with `monkeypatch.setenv`.
    """
    loaded: list[ModuleType] = []

    def load(module: Path) -> ModuleType:
        assert module.stem not in sys.modules, f"a module named {module.stem} is there already"
        monkeypatch.syspath_prepend(str(module.parent))
        loaded.append(importlib.import_module(module.stem))
        return loaded[-1]

    with forgotten_tasks():
        yield load
    for module in loaded:
        module.app.close()
        del sys.modules[module.__name__]
