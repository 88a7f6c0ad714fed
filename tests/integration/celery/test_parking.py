"""Parked items: out of the broker, shown as such, and gone on with under the same id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import chord, group
from celery.exceptions import TimeoutError as NotYet

import papayya
from tests.integration.celery.scene import MakeScene, Scene


@pytest.fixture(scope="module")
def stage(make_scene: MakeScene) -> Iterator[Scene]:
    """One worker of two processes on Redis."""
    with make_scene("p") as made:
        made.start()
        yield made


def is_parked(stage: Scene, result: Any, shown: str = "PAUSED") -> bool:
    """Tell whether a task is parked, both by the books and by Celery."""
    state = {"PAUSED": "paused", "WAITING": "waiting"}[shown]
    return stage.state(result.id) == state and result.state == shown


def in_broker(stage: Scene) -> tuple[int, int]:
    """Count the messages that wait, and those that are in a worker's hands."""
    with stage.app.connection_for_read() as connection:
        client = connection.default_channel.client
        return client.llen("celery"), client.hlen("unacked")


def test_queued_item_parks(stage: Scene) -> None:
    """An item of a paused tenant parks before its body begins, leaves the broker, and goes on."""
    stage.hold("queued")
    result = stage.tasks.work.delay(name="q1", tenant="queued")
    stage.until(lambda: is_parked(stage, result), "it is parked")
    assert result.info == {"reason": "paused by hand: tenant queued"}
    stage.until(lambda: in_broker(stage) == (0, 0), "its message is acknowledged")
    with pytest.raises(NotYet):
        result.get(timeout=0.2)
    assert stage.tasks.work.delay(name="q2").get(timeout=20) == ["q2"]
    assert stage.lines("paid") == ["q2"]
    stage.resume(tenant="queued")
    assert result.get(timeout=20) == ["q1"]
    assert (result.state, stage.state(result.id)) == ("SUCCESS", "completed")


def test_running_item_parks_at_its_next_step(stage: Scene) -> None:
    """An item that is paused in its body parks with its finished steps and burns no attempt."""
    result = stage.tasks.work.delay(name="r1", plan="gate")
    stage.until(lambda: stage.exists("gate-r1"), "it is in its body")
    assert stage.pause(items=[stage.item(result.id).id]) == 1
    assert stage.state(result.id) == "running"
    stage.touch("go-r1")
    stage.until(lambda: is_parked(stage, result), "it is parked")
    stage.until(lambda: in_broker(stage) == (0, 0), "its message is acknowledged")
    stage.resume(items=[stage.item(result.id).id])
    assert result.get(timeout=20) == ["r1"]
    item = stage.item(result.id)
    assert (item.deliveries, item.dispatch_no, item.outcome) == (1, 0, "ok")
    assert stage.lines("paid").count("r1") == 1


def test_waiting_item_can_be_paused(stage: Scene) -> None:
    """An item that waits is paused at once, though nothing has it in hand, and goes on."""
    result = stage.tasks.work.delay(name="w1", plan="throttle")
    stage.until(lambda: is_parked(stage, result, "WAITING"), "it waits")
    item = stage.item(result.id)
    assert stage.pause(items=[item.id]) == 1
    assert (stage.state(result.id), stage.turn().sent) == ("paused", 0)
    stage.resume(items=[item.id])
    assert result.get(timeout=20) == ["w1"]


@pytest.mark.parametrize("plan", ["throttle", "busy provider"])
def test_waiting_item_goes_on_when_it_is_due(stage: Scene, plan: str) -> None:
    """A throttled item, or a step that is told to come back later, waits without a message."""
    name = f"wait-{plan}"
    result = stage.tasks.work.delay(name=name, plan=plan)
    stage.until(lambda: is_parked(stage, result, "WAITING"), "it waits")
    stage.until(lambda: in_broker(stage) == (0, 0), "its message is acknowledged")
    assert stage.turn().sent == 0
    due = "UPDATE papayya.item SET due_at = papayya.now() WHERE id = %(item)s"
    stage.rows(due, item=stage.item(result.id).id)
    stage.turn()
    assert result.get(timeout=20) == [name]
    assert [line for line in stage.lines("tries") if name in line] == [f"{name} 0"] * 2
    assert stage.item(result.id).deliveries == 1


def test_countdown_can_be_paused(stage: Scene) -> None:
    """A task that its worker holds back for its countdown is parked when that is over."""
    result = stage.tasks.work.apply_async(kwargs={"name": "c1"}, countdown=0.5)
    stage.pause(items=[stage.item(result.id).id])
    stage.until(lambda: result.state == "PAUSED", "Celery shows it")
    assert "c1" not in stage.lines("paid")
    stage.resume(items=[stage.item(result.id).id])
    assert result.get(timeout=20) == ["c1"]


def test_user_code_can_pause(stage: Scene) -> None:
    """What raises papayya.Paused is parked until it is resumed, with its reason."""
    result = stage.tasks.work.delay(name="u1", plan="code")
    stage.until(lambda: is_parked(stage, result), "it is parked")
    assert result.info == {"reason": "somebody has to look"}
    assert stage.item(result.id).paused_by == "code"
    stage.resume(items=[stage.item(result.id).id])
    assert result.get(timeout=20) == ["u1"]
    assert stage.lines("paid").count("u1") == 1


def test_a_retry_that_was_burnt_stays_so(stage: Scene) -> None:
    """A pause between two tries of Celery's own leaves the count of tries as it was."""
    result = stage.tasks.work.delay(name="b1", plan="retry,gate")
    stage.until(lambda: stage.exists("gate-b1"), "it is in its second try")
    stage.pause(items=[stage.item(result.id).id])
    stage.touch("go-b1")
    stage.until(lambda: is_parked(stage, result), "it is parked")
    stage.resume(items=[stage.item(result.id).id])
    assert result.get(timeout=20) == ["b1"]
    assert [line for line in stage.lines("tries") if "b1" in line] == ["b1 0", "b1 1", "b1 1"]


def test_slot_is_free(stage: Scene) -> None:
    """As many parked items as there are slots leave all slots to others."""
    stage.hold("crowd")
    held = [stage.tasks.work.delay(name=f"s{n}", tenant="crowd") for n in range(4)]
    stage.until(lambda: all(is_parked(stage, one) for one in held), "they are parked")
    free = [stage.tasks.work.delay(name=f"f{n}") for n in range(4)]
    assert [one.get(timeout=20) for one in free] == [["f0"], ["f1"], ["f2"], ["f3"]]
    stage.resume(tenant="crowd")
    assert [one.get(timeout=20) for one in held] == [["s0"], ["s1"], ["s2"], ["s3"]]


def test_run_is_paused(stage: Scene) -> None:
    """A paused run begins nothing, also of what is submitted later; resumed, all of it ends."""
    with papayya.run("nightly") as nightly:
        first = stage.tasks.work.delay(name="n1", plan="gate")
        stage.until(lambda: stage.exists("gate-n1"), "it is in its body")
        stage.pause(run=nightly.id)
        second = stage.tasks.work.delay(name="n2")
        stage.touch("go-n1")
        stage.until(lambda: is_parked(stage, first) and is_parked(stage, second), "both parked")
        stage.resume(run=nightly.id)
        assert [first.get(timeout=20), second.get(timeout=20)] == [["n1"], ["n2"]]


def test_group_and_chord_wait(stage: Scene) -> None:
    """A group and a chord are not ready while one of them is parked, and complete after that."""
    stage.hold("chorus")
    work, gather = stage.tasks.work, stage.tasks.gather
    members = [work.s(name=f"g{n}", tenant="chorus" if n == 1 else None) for n in range(3)]
    together: Any = group(members).delay()
    body: Any = chord(work.s(name=f"h{n}", tenant="chorus" if n == 1 else None) for n in range(3))(
        gather.s(name="chorus")
    )
    stage.until(lambda: is_parked(stage, together[1]), "a member of the group is parked")
    stage.until(lambda: is_parked(stage, body.parent[1]), "a member of the chord is parked")
    stage.until(lambda: together.completed_count() == 2, "the others of the group are done")
    stage.until(lambda: body.parent.completed_count() == 2, "those of the chord, too")
    assert not together.ready()
    assert (body.state, body.parent.ready()) == ("PENDING", False)
    stage.resume(tenant="chorus")
    assert together.get(timeout=20) == [["g0"], ["g1"], ["g2"]]
    assert body.get(timeout=20) == ["h0", "h1", "h2"]
    assert stage.lines("gathered") == ["chorus"]
