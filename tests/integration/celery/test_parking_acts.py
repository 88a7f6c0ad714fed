"""What people do by hand to Celery's items: cancel and retry, from the command line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import chord
from celery.exceptions import ChordError, TaskRevokedError

import papayya
from papayya_core.errors import ItemFailed
from tests.integration import cli_world
from tests.integration.celery.scene import MakeScene, Scene


@pytest.fixture(scope="module")
def stage(make_scene: MakeScene) -> Iterator[Scene]:
    """One worker of two processes on Redis."""
    with make_scene("a") as made:
        made.start()
        yield made


def cancel(stage: Scene, key: str) -> None:
    """Cancel an item from the command line, and let the pump tell Celery."""
    [item] = stage.items(key)
    said = cli_world.papayya("cancel", item.run, "--item", key).stdout
    assert f"item {key} cancelled" in said
    stage.turn()


def is_revoked(stage: Scene, result: Any) -> bool:
    """Tell whether a task is cancelled, both by the books and by Celery."""
    return stage.state(result.id) == "cancelled" and result.state == "REVOKED"


@pytest.mark.parametrize("plan", ["code", "throttle"])
def test_parked_item_is_cancelled(stage: Scene, plan: str) -> None:
    """A parked item that is cancelled ends as revoked in Celery."""
    result = stage.tasks.work.delay(name=f"parked-{plan}", plan=plan)
    parked = ("paused", "waiting")
    stage.until(lambda: stage.state(result.id) in parked, "it is parked")
    cancel(stage, f"parked-{plan}")
    stage.until(lambda: is_revoked(stage, result), "it is revoked")
    with pytest.raises(TaskRevokedError):
        result.get(timeout=20)


def test_queued_item_is_cancelled(stage: Scene) -> None:
    """An item that is cancelled in its queue is revoked when its message comes to a worker."""
    gates = [stage.tasks.work.delay(name=f"gate{n}", plan="gate") for n in range(2)]
    stage.until(lambda: all(stage.exists(f"gate-gate{n}") for n in range(2)), "no slot is free")
    result = stage.tasks.work.delay(name="queued")
    cancel(stage, "queued")
    for n in range(2):
        stage.touch(f"go-gate{n}")
    stage.until(lambda: is_revoked(stage, result), "it is revoked")
    assert [gate.get(timeout=20) for gate in gates] == [["gate0"], ["gate1"]]
    assert "queued" not in stage.lines("paid")


def test_running_item_is_cancelled(stage: Scene) -> None:
    """An item that is cancelled in its body stops at its next step, and is revoked."""
    result = stage.tasks.work.delay(name="runs", plan="gate,code")
    stage.until(lambda: stage.exists("gate-runs"), "it is in its body")
    cancel(stage, "runs")
    stage.touch("go-runs")
    stage.until(lambda: is_revoked(stage, result), "it is revoked")


def test_chord_of_a_cancelled_item(stage: Scene) -> None:
    """A chord with a cancelled part fails, as with Celery's own revoke."""
    work = stage.tasks.work
    header = [work.s(name="c0"), work.s(name="c1", plan="code")]
    result: Any = chord(header)(stage.tasks.gather.s(name="never"))
    stage.until(lambda: stage.items("c1") and stage.items("c1")[0].state == "paused", "parked")
    cancel(stage, "c1")
    with pytest.raises(ChordError, match="cancelled by hand"):
        stage.app.AsyncResult(result.id).get(timeout=20)
    assert "never" not in stage.lines("gathered")


def test_cancelled_run(stage: Scene) -> None:
    """All that is open of a cancelled run is revoked, and what is published to it later."""
    with papayya.run("ends") as run:
        first = stage.tasks.work.delay(name="e0", plan="code")
        stage.until(lambda: stage.state(first.id) == "paused", "it is parked")
        cli_world.papayya("cancel", run.id)
        second = stage.tasks.work.delay(name="e1")
    stage.turn()
    stage.until(lambda: is_revoked(stage, first) and is_revoked(stage, second), "both are revoked")
    assert "e1" not in stage.lines("paid")


def test_failed_item_is_retried(stage: Scene) -> None:
    """`papayya retry` runs a failed item again under its id, with its finished steps."""
    result = stage.tasks.work.delay(name="fails", plan="error")
    with pytest.raises(RuntimeError, match="once"):
        result.get(timeout=20)
    [item] = stage.items("fails")
    assert "queued again" in cli_world.papayya("retry", item.run).stdout
    stage.turn()
    stage.until(lambda: stage.state(result.id) == "completed", "it is completed")

    def known() -> Any:
        again = stage.app.AsyncResult(result.id)  # anew: one that has seen FAILURE keeps it
        return again if again.state == "SUCCESS" else None

    assert stage.until(known, "Celery knows").get(timeout=20) == ["fails"]
    assert stage.lines("paid").count("fails") == 1


def test_poisoned_result_is_an_error(stage: Scene) -> None:
    """What Celery is told of an item that failed without its worker says how to go on."""
    result = stage.tasks.work.delay(name="poison", plan="code")
    stage.until(lambda: stage.state(result.id) == "paused", "it is parked")
    give_up = "SELECT papayya.give_up_v1(%(item)s, 'poison', 'too often')"
    tell = "UPDATE papayya.item SET send_at = papayya.now() WHERE id = %(item)s"
    for statement in (give_up, tell):
        stage.rows(statement, item=stage.item(result.id).id)
    stage.turn()
    with pytest.raises(ItemFailed, match="papayya retry"):
        result.get(timeout=20)
