"""Off, observe, and what is said about an app that cannot or should not be as it is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from celery import Celery

import papayya
import papayya_celery
from papayya_celery import apps, patches, warnings
from papayya_core import runtime
from tests.integration.celery.scene import Scene, Servers, scene
from tests.support.celery_modules import forgotten_tasks
from tests.support.celery_worker import CeleryWorker
from tests.support.processes import free_port

APP = Path(__file__).parent / "apps" / "naming_tasks.py"
NOWHERE = "postgresql://nobody@127.0.0.1:{}/none"


@pytest.fixture
def app() -> Iterator[Any]:
    """An app that nothing is published through."""
    with forgotten_tasks():
        app = Celery("modes", broker="memory://", set_as_current=False)
        yield app
        app.close()


def start(stage: Scene, folder: Path, pool: str = "solo") -> None:
    """Start a worker."""
    stage.workers.append(CeleryWorker(APP, folder, pool=pool, concurrency=1))
    stage.worker.start()


def test_off(redis_url: str, tmp_path: Path) -> None:
    """With PAPAYYA_MODE=off tasks, bulks and runs work as if we were not there, without Postgres."""
    servers = Servers(NOWHERE.format(free_port()), redis_url, redis_url)
    with scene(servers, tmp_path, module=APP, PAPAYYA_MODE="off") as stage:
        tasks = stage.tasks
        results = [tasks.inc.delay(1)]
        with papayya.run("off", expect=2):
            results += papayya_celery.submit(tasks.inc, [2, 3])
        results += papayya_celery.submit(tasks.inc, [4])
        with stage.app.connection_for_read() as connection:
            client = connection.default_channel.client
            assert client.llen("celery") == 4
            assert b'"papayya"' not in b"".join(client.lrange("celery", 0, -1))
        start(stage, tmp_path)
        assert [result.get(timeout=20) for result in results] == [2, 3, 4, 5]
        assert "papayya" not in stage.worker.said().replace(str(Path.cwd()), "")


@pytest.mark.parametrize(("mode", "late"), [("off", False), ("observe", True)])
def test_late_acknowledgement(
    app: Any, monkeypatch: pytest.MonkeyPatch, mode: str, late: bool
) -> None:
    """Managed tasks are acknowledged late, and others or those of PAPAYYA_MODE=off as they were."""
    monkeypatch.setenv("PAPAYYA_MODE", mode)
    runtime.reset()
    papayya_celery.install(app, only="tag")
    for name in ("tag", "other"):
        app.task(name=name, shared=False)(_tag)
        patches.guard(apps.of(app), app.tasks[name])  # type: ignore[arg-type]
    tag, other = app.tasks["tag"], app.tasks["other"]
    assert (tag.acks_late, tag.reject_on_worker_lost) == ((True, True) if late else (False, None))
    assert not other.acks_late
    runtime.reset()


@pytest.mark.parametrize(
    ("mode", "states"), [("enforce", ["completed", "paused"]), ("observe", ["completed"] * 2)]
)
def test_observe(
    papayya_database: str, redis_url: str, tmp_path: Path, mode: str, states: list[str]
) -> None:
    """An exhausted budget parks an item under enforce; under observe it only goes on the record."""
    servers = Servers(papayya_database, redis_url, redis_url)
    with scene(servers, tmp_path, module=APP, PAPAYYA_MODE=mode) as stage:
        with papayya.run("capped", budget_usd="0.01", run_id="capped"):
            papayya_celery.submit(stage.tasks.spend, ["a", "b"])
        start(stage, tmp_path)
        query = "SELECT state::text FROM papayya.item_now WHERE run = 'capped' ORDER BY id"
        stage.until(lambda: [row.state for row in stage.rows(query)] == states, str(states))


def test_installed_twice(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A second install on an app is heard, and said to be one."""
    papayya_celery.install(app, tenant="first")
    with caplog.at_level(logging.WARNING, "papayya.celery"):
        papayya_celery.install(app, tenant="second")
    found = apps.of(app)
    assert found is not None
    assert (found.tenant, len(caplog.records)) == ("second", 1)


def test_guarded_once(papayya_database: str, app: Any) -> None:
    """An app that has us installed twice makes one item of a task, by the last rules."""
    papayya_celery.install(app, item="doc")
    task = app.task(name="tag", shared=False)(_tag)
    assert task.apply(("a",)).get() == "a"
    papayya_celery.install(app, item=lambda message: f"<{message['doc']}>")
    assert task.apply(("b",)).get() == "b"
    with psycopg.connect(papayya_database) as connection:
        keys = connection.execute("SELECT key FROM papayya.item ORDER BY id").fetchall()
    assert keys == [("a",), ("<b>",)]


def _tag(doc: str) -> str:
    return doc


def checked(app: Any, pool: str, concurrency: int = 20) -> None:
    """Let a worker that does not exist start."""
    papayya_celery.install(app)
    found = apps.of(app)
    assert found is not None
    kind = SimpleNamespace(__module__=f"celery.concurrency.{pool}")
    warnings.check(found, SimpleNamespace(pool_cls=kind, concurrency=concurrency))


@pytest.fixture
def _no_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PAPAYYA_MODE", "off")
    runtime.reset()
    yield
    runtime.reset()


@pytest.mark.usefixtures("_no_database")
def test_eventlet_is_refused(app: Any) -> None:
    """A worker of the eventlet pool does not start, and is told of pools that work."""
    with pytest.raises(SystemExit, match="use --pool=gevent or threads"):
        checked(app, "eventlet")


@pytest.mark.usefixtures("_no_database")
def test_protocol_1_is_refused(app: Any) -> None:
    """A worker of an app that speaks the old protocol does not start."""
    app.conf.task_protocol = 1
    with pytest.raises(SystemExit, match="needs task_protocol = 2"):
        checked(app, "prefork")


@pytest.mark.usefixtures("_no_database")
@pytest.mark.parametrize(
    ("pool", "broker", "most", "warned"),
    [
        ("gevent", "redis://h/0", None, True),
        ("gevent", "redis://h/0", 100, False),
        ("gevent", "amqp://h//", None, False),
        ("prefork", "redis://h/0", None, False),
    ],
)
def test_gevent_on_redis(
    app: Any,
    caplog: pytest.LogCaptureFixture,
    pool: str,
    broker: str,
    most: int | None,
    warned: bool,
) -> None:
    """A worker of more greenlets than Redis connections is told what to set."""
    app.conf.broker_url = broker
    if most is not None:
        app.conf.broker_transport_options = {"max_connections": most}
    with caplog.at_level(logging.WARNING, "papayya.celery"):
        checked(app, pool)
    said = [record.getMessage() for record in caplog.records]
    assert (
        any('broker_transport_options = {"max_connections": 100}' in text for text in said)
        == warned
    )
