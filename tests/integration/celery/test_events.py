"""What monitors see: the events that Flower and `celery events` read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from celery.events.state import State

from tests.integration.celery.scene import MakeScene, Scene


@pytest.fixture(scope="module")
def stage(make_scene: MakeScene) -> Iterator[Scene]:
    """One worker on Redis that sends events."""
    with make_scene("e") as made:
        made.start("-E")
        yield made


@pytest.fixture(scope="module")
def state(stage: Scene) -> Iterator[State]:
    """The state that monitors keep, fed by the worker's events."""
    kept: Any = stage.app.events.State()
    ready = threading.Event()
    with stage.app.connection_for_read() as connection:
        receiver = stage.app.events.Receiver(connection, handlers={"*": kept.event})

        def listen() -> None:
            ready.set()
            receiver.capture(limit=None, timeout=None, wakeup=False)

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        ready.wait(20)
        stage.until(lambda: kept.event_count or again(stage), "events are heard")
        yield kept
        receiver.should_stop = True
        thread.join(10)


def again(stage: Scene) -> bool:
    """Cause events until the first one is heard."""
    stage.tasks.work.delay(name="probe again").get(timeout=20)
    return False


@pytest.mark.parametrize(("plan", "shown"), [("code", "PAUSED"), ("throttle", "WAITING")])
def test_parked_task_is_shown(stage: Scene, state: Any, plan: str, shown: str) -> None:
    """A monitor shows a parked task as such, with its name, and as done after that."""
    result = stage.tasks.work.delay(name=f"shown-{plan}", plan=plan)

    def seen() -> str | None:
        task = state.tasks.get(result.id)
        return task.state if task else None

    stage.until(lambda: seen() == shown, f"it is shown as {shown}")
    assert state.tasks[result.id].name == "parked_tasks.work"
    stage.until(lambda: stage.state(result.id) in ("paused", "waiting"), "it is parked")
    item = stage.item(result.id).id
    stage.pause(items=[item])
    stage.resume(items=[item])
    assert result.get(timeout=20) == [f"shown-{plan}"]
    stage.until(lambda: seen() == "SUCCESS", "it is shown as done")


def test_cancelled_task_is_shown(stage: Scene, state: Any) -> None:
    """A monitor shows a task whose item was cancelled as revoked."""
    result = stage.tasks.work.delay(name="cancelled", plan="code")
    stage.until(lambda: stage.state(result.id) == "paused", "it is parked")
    cancel = "SELECT papayya.cancel_v1(NULL, ARRAY[%(item)s::bigint], 'not needed')"
    stage.rows(cancel, item=stage.item(result.id).id)
    stage.turn()
    stage.until(lambda: state.tasks[result.id].state == "REVOKED", "it is shown as revoked")
