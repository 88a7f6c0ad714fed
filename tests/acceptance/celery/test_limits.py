"""What ends a task from outside: poison, time limits, revokes, expiry, redelivery."""

from __future__ import annotations

from typing import Any

import pytest
from celery import chord
from celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded

from papayya_core.errors import ItemFailed
from tests.acceptance.celery.arena import Arena


def part(result: Any, number: int) -> Any:
    """Return the result of a member of a chord."""
    return result.parent[number]


def test_poison(fire: Arena) -> None:
    """A task that kills its worker each time fails, its chord and errback learn it; others live."""
    poison, light, forgive = fire.app.poison, fire.app.light, fire.app.forgive
    bad, worse, good, link, body = fire.fresh("bad", "worse", "good", "link", "body")
    lonely = poison.apply_async(kwargs={"name": bad}, link_error=forgive.s(name=link))
    result = chord([poison.si(name=worse), light.si(name=good)], fire.app.gather.s(name=body))
    joined = result.apply_async()
    for each in (lonely, joined):
        with pytest.raises(Exception, match="deliveries without an end"):
            each.get(timeout=45)
    fire.settle()
    assert lonely.state == part(joined, 0).state == "FAILURE"
    assert part(joined, 1).get() == good
    assert fire.item(bad)["reason"] == "3 deliveries without an end"
    assert fire.paid(bad, worse, link, body) == {
        f"{bad} poison": 3,
        f"{worse} poison": 3,
        f"{link} forgive": 1,
    }


def test_recover_false(fire: Arena) -> None:
    """A body that must not run twice does not: its item fails when its worker dies in it."""
    name = fire.fresh("once")
    fire.hold("body", name)
    result = fire.app.once.delay(name=name)
    fire.worker.kill_child(fire.held("body", name))
    fire.go("body", name)
    with pytest.raises(ItemFailed, match="1 deliveries without an end"):
        result.get(timeout=45)
    fire.settle()
    assert fire.paid(name) == {f"{name} once": 1}


def test_hard_time_limit(fire: Arena) -> None:
    """A task that is killed by its hard time limit has failed, and is not brought back."""
    name, body, other = fire.fresh("slow", "body", "other")
    header = [
        fire.app.slow.si(name=name, seconds=60).set(time_limit=1),
        fire.app.light.si(name=other),
    ]
    result = chord(header, fire.app.gather.s(name=body)).apply_async()
    with pytest.raises(Exception, match="TimeLimitExceeded"):
        result.get(timeout=45)
    fire.settle()
    assert isinstance(part(result, 0).result, TimeLimitExceeded)
    assert fire.item(name)["state"] == "failed"
    assert "hard time limit" in fire.item(name)["reason"]
    assert fire.paid(name, body) == {f"{name} slow": 1}


def test_soft_time_limit(fire: Arena) -> None:
    """A task that passes its soft time limit fails with Celery's own exception."""
    name = fire.fresh("slow")
    result = fire.app.slow.apply_async(kwargs={"name": name, "seconds": 60}, soft_time_limit=1)
    with pytest.raises(SoftTimeLimitExceeded):
        result.get(timeout=45)
    fire.settle()
    assert fire.item(name)["state"] == "failed"


def test_revoked(fire: Arena) -> None:
    """Items of revoked tasks are cancelled: in the queue, parked, and with terminate at work."""
    queued, running, parked = fire.fresh("queued", "running", "parked")
    blockers = [fire.fresh("blocker") for _ in range(3)]
    app, light = fire.app.app, fire.app.light
    fire.hold("body", *blockers, running, queued, parked)
    others = [light.delay(name=name) for name in blockers]
    victim = light.delay(name=running)
    for name in (*blockers, running):
        fire.held("body", name)
    later = light.delay(name=queued)
    paused = light.delay(name=parked)
    fire.pause([parked])
    app.control.revoke([later.id, paused.id], reply=True, timeout=5, limit=1)
    app.control.revoke(victim.id, terminate=True, signal="SIGKILL", reply=True, timeout=5, limit=1)
    fire.go("body", *blockers)
    for result in (later, victim):
        with pytest.raises(TaskRevokedError):
            result.get(timeout=45)
    assert [fire.result(one) for one in others] == blockers
    fire.resume([parked])
    with pytest.raises(TaskRevokedError):
        paused.get(timeout=45)
    fire.settle()
    assert {fire.item(name)["state"] for name in (queued, running, parked)} == {"cancelled"}


def test_expired(fire: Arena) -> None:
    """A message that expires in its queue cancels its item; the time it was parked doesn't count."""
    light = fire.app.light
    expired, patient = fire.fresh("expired", "patient")
    blockers = [fire.fresh("blocker") for _ in range(4)]
    fire.hold("body", *blockers)
    others = [light.delay(name=name) for name in blockers]
    for name in blockers:
        fire.held("body", name)
    kept = light.apply_async(kwargs={"name": patient}, expires=2)
    fire.pause([patient])
    lost = light.apply_async(kwargs={"name": expired}, expires=0.01)
    fire.go("body", *blockers)
    assert [fire.result(one) for one in others] == blockers
    with pytest.raises(TaskRevokedError):
        lost.get(timeout=45)
    fire.until(lambda: fire.item(expired)["state"] == "cancelled", "its item is cancelled")
    old = "SELECT 1 FROM papayya.item WHERE key = %s AND parked_at < now() - interval '3 s'"
    fire.until(lambda: fire.query(old, patient), "it has been parked for longer than it may wait")
    fire.resume([patient])
    assert fire.result(kept) == patient
    fire.settle()
