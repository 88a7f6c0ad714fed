"""Admission: so many messages of a tenant are with the broker, the others are in line in Postgres."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import papayya
import papayya_celery
from papayya_celery import capture
from papayya_core.runtime import runtime
from papayya_core.store import acts
from tests.integration.celery.scene import MakeScene, Scene

APP = Path(__file__).parent / "apps" / "admission_tasks.py"
LINE = """
SELECT count(*) FROM papayya.item i JOIN papayya.tenant t ON t.id = i.tenant_id
WHERE t.name = %(tenant)s AND i.state = 'queued' AND i.send_at IS NULL AND i.line_at IS NOT NULL
"""


@pytest.fixture(scope="module")
def stage(make_scene: MakeScene) -> Iterator[Scene]:
    """An app on Redis that lets out three of a tenant; nobody works."""
    with make_scene("admission", module=APP) as made:
        yield made


def messages(stage: Scene) -> list[tuple[str, str]]:
    """Read the tenant and the item of all messages in the broker, the first to be taken first."""
    with stage.app.connection_for_read() as connection:
        raw = connection.default_channel.client.lrange("celery", 0, -1)
    heads = [json.loads(one)["headers"] for one in reversed(raw)]
    return [(head["papayya"]["tenant"], head["id"]) for head in heads]


def out(stage: Scene, tenant: str) -> int:
    """Count a tenant's messages in the broker."""
    return Counter(whose for whose, _ in messages(stage))[tenant]


def in_line(stage: Scene, tenant: str) -> int:
    """Count a tenant's items in line."""
    return int(stage.rows(LINE, tenant=tenant)[0].count)


def take(stage: Scene, *tenants: str) -> list[str]:
    """Open all items of these tenants that are in the broker, as a worker would; name them."""
    found = [(whose, task_id) for whose, task_id in messages(stage) if whose in tenants]
    with stage.app.connection_for_read() as connection:
        client = connection.default_channel.client
        for raw in client.lrange("celery", 0, -1):
            if json.loads(raw)["headers"]["papayya"]["tenant"] in tenants:
                client.lrem("celery", 1, raw)
    for _, task_id in found:
        opened = "UPDATE papayya.item SET state = 'running', send_at = NULL WHERE id = %(item)s"
        stage.rows(opened, item=stage.item(task_id).id)
    return [whose for whose, _ in found]


def burst(stage: Scene, tenant: str, count: int) -> list[Any]:
    """Publish one after the other."""
    return [stage.tasks.work.delay(name=f"{tenant}-{n}", tenant=tenant) for n in range(count)]


def test_line(stage: Scene) -> None:
    """Of ten messages three leave at once; the others follow as those are opened, in their order."""
    results = burst(stage, "orderly", 10)
    assert (out(stage, "orderly"), in_line(stage, "orderly")) == (3, 7)
    seen: list[str] = []
    for expected in (3, 3, 3, 1):
        assert stage.turn().again == pytest.approx(0.1 if len(seen) < 9 else 0.5)
        assert out(stage, "orderly") == expected
        seen += [task_id for whose, task_id in messages(stage) if whose == "orderly"]
        take(stage, "orderly")
    assert seen == [result.id for result in results]
    assert stage.item(results[9].id).sends == 1


def test_latecomers_come_last(stage: Scene) -> None:
    """While some of a tenant are in line, one that is new goes behind them, room or not."""
    burst(stage, "late", 4)
    take(stage, "late")
    last = stage.tasks.work.delay(name="late-last", tenant="late")
    assert (out(stage, "late"), in_line(stage, "late")) == (0, 2)
    stage.turn()
    assert messages(stage)[-1] == ("late", last.id)


def test_tenants_in_turn(stage: Scene) -> None:
    """What is let out at once is mixed: those go first that have least with the broker."""
    for tenant in ("many", "few"):
        burst(stage, tenant, 8)
        take(stage, tenant)
    stage.turn()
    assert take(stage, "many", "few") == ["many", "few"] * 3


def test_batches_in_turn(stage: Scene) -> None:
    """Of a batch, what leaves at once is mixed as well; the results are in the order of the rows."""
    rows = [{"name": f"{who}-{n}", "tenant": who} for who in ("first", "second") for n in range(3)]
    results = papayya_celery.submit(stage.tasks.work, rows)
    found = [(who, one) for who, one in messages(stage) if who in ("first", "second")]
    assert [who for who, _ in found] == ["first", "second"] * 3
    ids = [one.id for one in results]
    assert [one for _, one in found] == [ids[n] for n in (0, 3, 1, 4, 2, 5)]


def test_weights(stage: Scene) -> None:
    """A tenant of twice the weight has twice as many with the broker, one of a tenth has one."""
    for tenant, weight in (("heavy", 2), ("light", 0.1)):
        set_weight = "SELECT papayya.set_weight_v1(%(tenant)s, %(weight)s::numeric)"
        stage.rows(set_weight, tenant=tenant, weight=weight)
    for tenant in ("heavy", "light"):
        burst(stage, tenant, 8)
    assert (out(stage, "heavy"), out(stage, "light")) == (6, 1)


def test_bulk(stage: Scene) -> None:
    """Rows that are submitted at once are let out likewise; submitted again they stay what they are."""
    rows = [{"name": f"bulk-{n}", "tenant": "bulk"} for n in range(10)]
    with papayya.run("bulk", run_id="bulk-1"):
        first = papayya_celery.submit(stage.tasks.work, rows)
        again = papayya_celery.submit(stage.tasks.work, rows)
    assert [one.id for one in first] == [one.id for one in again]
    assert (out(stage, "bulk"), in_line(stage, "bulk")) == (3, 7)


def test_publishers_at_once(stage: Scene) -> None:
    """However many publish at the same time, there is never one too many."""
    start = threading.Barrier(6)

    def publish(number: int) -> None:
        start.wait()
        for each in range(5):
            stage.tasks.work.delay(name=f"crowd-{number}-{each}", tenant="crowd")

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (out(stage, "crowd"), in_line(stage, "crowd")) == (3, 27)


def test_countdown(stage: Scene) -> None:
    """What is wanted later waits in Postgres, takes no room, and is let out when it is due."""
    later = stage.tasks.work.apply_async(
        kwargs={"name": "later", "tenant": "patient"}, countdown=3600
    )
    at = datetime.now(UTC) + timedelta(hours=1)
    stage.tasks.work.apply_async(kwargs={"name": "at", "tenant": "patient"}, eta=at)
    burst(stage, "patient", 2)
    stage.turn()
    assert (out(stage, "patient"), in_line(stage, "patient")) == (2, 2)
    due = "UPDATE papayya.item SET line_at = papayya.now() WHERE id = %(item)s"
    stage.rows(due, item=stage.item(later.id).id)
    stage.turn()
    assert messages(stage)[-1] == ("patient", later.id)


def test_paused_run(stage: Scene) -> None:
    """Items of a paused run stay in line, and keep nobody back; resumed, they go on."""
    with papayya.run("asleep") as asleep:
        burst(stage, "sleepy", 5)
    take(stage, "sleepy")
    stage.pause(run=asleep.id)
    awake = stage.tasks.work.delay(name="awake", tenant="sleepy")
    stage.turn()
    assert [task_id for whose, task_id in messages(stage) if whose == "sleepy"] == [awake.id]
    stage.act(acts.resume, run=asleep.id)
    stage.turn()
    assert (out(stage, "sleepy"), in_line(stage, "sleepy")) == (3, 0)


def test_what_was_parked_goes_through_the_line(stage: Scene) -> None:
    """What goes on after a pause is no burst either, and comes before what was submitted later."""
    parked = burst(stage, "parked", 3)
    ids = [stage.item(result.id).id for result in parked]
    take(stage, "parked")
    park = "UPDATE papayya.item SET state = 'paused', paused_by = 'hand', parked_at = papayya.now()"
    stage.rows(f"{park} WHERE id = ANY (%(items)s)", items=ids)
    burst(stage, "parked", 4)
    assert stage.act(acts.resume, items=ids) == 3
    stage.turn()
    assert (out(stage, "parked"), in_line(stage, "parked")) == (3, 4)
    take(stage, "parked")
    stage.turn()
    expected = [result.id for result in parked]
    assert [task_id for whose, task_id in messages(stage) if whose == "parked"] == expected


def test_cancelled_in_line(stage: Scene) -> None:
    """An item that is cancelled in line is sent once more, so that Celery learns it."""
    results = burst(stage, "doomed", 5)
    last = stage.item(results[4].id).id
    stage.act(acts.cancel, run=results[4].id, items=[last], reason="nobody wants it")
    stage.turn()
    assert messages(stage)[-1] == ("doomed", results[4].id)
    assert (out(stage, "doomed"), in_line(stage, "doomed")) == (4, 1)


def test_lost_messages(stage: Scene) -> None:
    """After FLUSHALL what was with the broker is sent again, and what was in line is not lost."""
    results = burst(stage, "flushed", 5)
    with stage.app.connection_for_read() as connection:
        connection.default_channel.client.flushdb()
    overdue = "UPDATE papayya.item SET send_at = papayya.now() WHERE id = ANY (%(items)s)"
    stage.rows(overdue, items=[stage.item(result.id).id for result in results[:3]])
    stage.turn()
    sent = {task_id for whose, task_id in messages(stage) if whose == "flushed"}
    assert sent == {result.id for result in results[:3]}
    assert in_line(stage, "flushed") == 2


def test_without_postgres_it_goes_at_once(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publisher without Postgres sends as Celery does."""
    monkeypatch.setattr(capture.breaker, "is_open", lambda: True)
    results = burst(stage, "alone", 5)
    assert (out(stage, "alone"), stage.item(results[0].id)) == (5, None)


def test_switched_off(stage: Scene) -> None:
    """An app that does not ask for it any more lets all out that is in line."""
    burst(stage, "freed", 6)
    installed = stage.app._papayya
    installed.admission = None
    try:
        stage.turn()
        assert (out(stage, "freed"), in_line(stage, "freed")) == (6, 0)
        burst(stage, "free", 6)
        assert out(stage, "free") == 6
    finally:
        installed.admission = 3


def test_an_observer_holds_nothing_back(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is to be kept waiting, the pump lets out all that is in line."""
    burst(stage, "watched", 6)
    assert (out(stage, "watched"), in_line(stage, "watched")) == (3, 3)
    here = runtime()
    monkeypatch.setattr(here, "settings", replace(here.settings, mode="observe"))
    stage.turn()
    assert (out(stage, "watched"), in_line(stage, "watched")) == (6, 0)


@pytest.mark.parametrize("most", [0, -1, True])
def test_nonsense(stage: Scene, most: int) -> None:
    """A number that lets nothing out is refused, with what it is for."""
    with pytest.raises(ValueError, match="how many messages of a tenant"):
        papayya_celery.install(stage.app, admission=most)
