"""Chords are completed from Postgres only when their carrier has lost count: nothing follows twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import chord

import papayya
from papayya_core import runtime
from papayya_core.store import acts
from papayya_core.testing.databases import Databases
from tests.integration.celery.scene import TASKS, Scene, Servers, scene
from tests.support.redis_server import RedisServer

MODULE = TASKS.with_name("review_tasks.py")


@pytest.fixture(scope="module", params=["counted", "polled"])
def stage(
    request: pytest.FixtureRequest,
    papayya_databases: Databases,
    papayya_template: str,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    """One worker; the parts of a chord are counted by Redis, or polled in a folder."""
    url, folder = redis_server.fresh_url(), tmp_path_factory.mktemp(request.param)
    (folder / "results").mkdir()
    results = url if request.param == "counted" else f"file://{folder / 'results'}"
    with (
        papayya_databases.copy_of(papayya_template) as name,
        scene(Servers(papayya_databases.dsn(name), url, results), folder, module=MODULE) as made,
    ):
        made.start()
        yield made


def stuck(stage: Scene) -> list[Any]:
    """List the chords that are taken for stuck, had they rested for long."""
    params = {"carriers": ["celery:app"], "quiet": 0.0, "limit": 50}
    return list(runtime.runtime().engine().store.fetch("stuck_cohorts", params))


def settled(stage: Scene, name: str) -> None:
    """Wait until something followed, and see that nothing will follow again."""
    stage.until(lambda: stage.lines(name), f"{name} ran")
    unsettled = "SELECT id FROM papayya.item WHERE send_at IS NOT NULL OR finished_at IS NULL"
    stage.until(lambda: not stage.rows(unsettled), "all ends are told")
    assert stuck(stage) == []


def test_callback_follows_once(stage: Scene) -> None:
    """A chord whose callback was started is not completed again, and the callback is of its run."""
    work = stage.tasks
    with papayya.run("nightly", tenant="acme"):
        result: Any = chord([work.part.s("a"), work.part.s("b")])(work.gather.s(name="once"))
    settled(stage, "once")
    item = stage.item(result.id)
    assert item.run.startswith("nightly")
    assert item.tenant == "acme"


def test_run_of_a_chord_is_that_of_its_callback(stage: Scene) -> None:
    """Without a named run the callback is in the run of the chord's parts."""
    work = stage.tasks
    result: Any = chord([work.part.s("a"), work.part.s("b")])(work.gather.s(name="group"))
    settled(stage, "group")
    [first, *_] = result.parent.results
    assert stage.item(result.id).run == stage.item(first.id).run


def test_callback_that_is_no_item_follows_once(stage: Scene) -> None:
    """A chord is known to be complete, too, when its callback is a task without an item."""
    work = stage.tasks
    chord([work.part.s("a"), work.part.s("b")])(work.gather_bare.s(name="bare"))
    settled(stage, "bare")


def test_failed_chord_fails_once(stage: Scene) -> None:
    """A chord whose error was told is not failed again."""
    work = stage.tasks
    callback = work.gather.s().on_error(work.missed.s(name="miss"))
    chord([work.part.s("a"), work.broken.s("b")])(callback)
    settled(stage, "miss")


def test_replaced_part_is_waited_for(stage: Scene) -> None:
    """A part that was replaced by a chain has not ended before the chain has."""
    work = stage.tasks
    parts = [work.part.s("a"), work.replaced.s("b", "gate")]
    result: Any = chord(parts)(work.gather.s(name="chain"))
    stage.until(lambda: stage.lines("gates"), "the chain has begun")
    ended = "SELECT id FROM papayya.item_now WHERE run = %(run)s AND finished_at IS NOT NULL"
    run = stage.item(result.parent.results[0].id).run
    stage.until(lambda: len(stage.rows(ended, run=run)) == 2, "both parts have ended")
    assert stuck(stage) == []
    stage.touch("gate")
    settled(stage, "chain")
    assert stage.lines("chain") == ["['a', 'b!']"]


def test_cancelled_body_is_told_once(stage: Scene) -> None:
    """A task that is cancelled in its body ends as revoked, and Celery is not told again."""
    work = stage.tasks
    result = work.gated.apply_async(["c", "cancelled"], link=work.after.s())
    stage.until(lambda: "cancelled" in stage.lines("gates"), "its body has begun")
    stage.act(acts.cancel, run=None, reason="by hand", items=[stage.item(result.id).id])
    stage.touch("cancelled")
    stage.until(lambda: result.state == "REVOKED", "it is shown")
    told = "SELECT id FROM papayya.item i WHERE id = %(item)s AND send_at IS NULL AND EXISTS ("
    told += "SELECT FROM papayya.dispatch d WHERE d.item_id = i.id AND d.ended_at IS NOT NULL)"
    stage.until(lambda: stage.rows(told, item=stage.item(result.id).id), "its end is told", 10.0)
