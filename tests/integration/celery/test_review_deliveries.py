"""Messages that come late, or twice, where Celery keeps no results."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery, current_app

import papayya_celery
from papayya_celery import apps
from tests.integration.celery.scene import TASKS, MakeScene, Scene
from tests.support.celery_modules import forgotten_tasks


@pytest.fixture(scope="module")
def stage(make_scene: MakeScene) -> Iterator[Scene]:
    """An app without results; nobody works yet."""
    with make_scene("d", results="disabled://", module=TASKS.with_name("review_tasks.py")) as made:
        yield made


def test_delay_is_no_loss(stage: Scene) -> None:
    """A message that Celery holds back by itself is not sent again before it is due."""
    result = stage.tasks.part.apply_async(["late"], countdown=3600)
    due = "SELECT send_at > papayya.now() + interval '1 h' FROM papayya.item WHERE id = %(item)s"
    assert stage.rows(due, item=stage.item(result.id).id) == [(True,)]


def test_second_copy_is_no_error(stage: Scene) -> None:
    """A second copy of a message whose item has ended is dropped where no results are kept."""
    result = stage.tasks.part.delay("twice")
    with stage.app.connection_for_write() as connection:
        client = connection.default_channel.client
        for message in client.lrange("celery", 0, -1):
            client.lpush("celery", message)
        stage.start(concurrency=1)
        stage.until(lambda: stage.state(result.id) == "completed", "it has ended")
        stage.until(lambda: stage.worker.said().count(f"[{result.id}] received") == 2, "both came")
        wanted = f"[{result.id}] succeeded"
        stage.until(lambda: wanted in stage.worker.said(), "the first is done")
        last = stage.tasks.part.delay("last")
        stage.until(lambda: stage.state(last.id) == "completed", "the worker goes on")
    assert "Traceback" not in stage.worker.said()


def test_current_app_is_an_app() -> None:
    """Celery's proxy of the current app can be given; nothing of the app is read for it."""
    with forgotten_tasks():
        app = Celery("lazy", set_as_current=True)
        app.config_from_object("no.such.module")
        papayya_celery.install(current_app)
        found = apps.of(app)
        assert found is not None
        assert found.app is app
        assert not app.configured
        app.close()
