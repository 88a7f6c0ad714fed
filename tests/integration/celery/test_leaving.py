"""Leaving: what is parked goes back to its queue, and the pipeline is as it was without us."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord

import papayya
from tests.integration.celery.scene import TASKS, Scene, Servers, environment, scene
from tests.support.program import Program
from tests.support.redis_server import RedisServer

PAPAYYA = str(Path(sys.executable).with_name("papayya"))


@pytest.fixture
def stage(papayya_database: str, redis_url: str, tmp_path: Path) -> Iterator[Scene]:
    """An app on Redis, without a worker yet."""
    with scene(Servers(papayya_database, redis_url, redis_url), tmp_path) as made:
        yield made


def command(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command line from the directory of the app."""
    return subprocess.run(
        [PAPAYYA, *arguments],
        cwd=TASKS.parent,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def hand_back(*arguments: str) -> Any:
    """Hand back what is parked, and read what was done."""
    done = command("drain", *arguments, "--hand-back", "--json", PAPAYYA_IMPORT=TASKS.stem)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def park(stage: Scene) -> list[tuple[Any, list[str]]]:
    """Park tasks of many kinds; return what each is to result in."""
    tasks = stage.tasks
    stage.hold("held")
    first = {"name": "a", "tenant": "held"}
    header = [tasks.work.s(name=f"h{n}", tenant="held" if n == 1 else None) for n in range(3)]
    sent = [
        (tasks.work.delay(name="queued", tenant="held"), ["queued"]),
        (tasks.work.delay(name="paid", plan="code"), ["paid"]),
        (tasks.work.delay(name="waits", plan="throttle"), ["waits"]),
        (chain(tasks.work.s(**first), tasks.work.s(name="b")).delay(), ["a", "b"]),
        (chord(header)(tasks.gather.s()), ["h0", "h1", "h2"]),
    ]
    count = "SELECT 1 FROM papayya.item WHERE state IN ('paused', 'waiting')"
    others = "SELECT 1 FROM papayya.item WHERE state = 'completed'"
    stage.until(lambda: len(stage.rows(count)) == 5, "all of it is parked")
    stage.until(lambda: len(stage.rows(others)) == 2, "the others are done")
    soon = "UPDATE papayya.item SET due_at = papayya.now() + '0.5 s' WHERE state = 'waiting'"
    stage.rows(soon)
    return sent


def check_books(stage: Scene) -> None:
    """Every item that was handed back is cancelled, and the audit has no question."""
    rows = stage.rows(
        "SELECT reason, count(*) FROM papayya.item WHERE state = 'cancelled' GROUP BY 1"
    )
    assert [tuple(row) for row in rows] == [("handed back to celery", 5)]
    runs = stage.rows("SELECT name FROM papayya.run")
    assert [run.name for run in runs if stage.rows(UNEXPLAINED, run=run.name)] == []


UNEXPLAINED = "SELECT * FROM papayya.unexplained_v1(%(run)s)"


def test_without_the_line(stage: Scene) -> None:
    """Handed back, and run by workers that have never heard of us: the same ids, the same results."""
    with_us = stage.start()
    sent = park(stage)
    with_us.program.kill_group()
    did = hand_back("--all")
    assert (did["changed"], did["next"]) == (5, "Nothing else is open.")
    stage.start(env={"LINE": "0"})
    assert [result.get(timeout=20) for result, _ in sent] == [names for _, names in sent]
    assert stage.lines("gathered") == ["all"]
    assert all(result.state == "SUCCESS" for result, _ in sent)
    check_books(stage)
    assert hand_back("--all")["changed"] == 0


def test_with_the_line(stage: Scene) -> None:
    """A worker with the line runs what was handed back as if it were not there."""
    stage.start()
    sent = park(stage)
    before = {result.id: stage.item(result.id) for result, _ in sent[:3]}
    assert hand_back("--all")["changed"] == 5
    assert [result.get(timeout=20) for result, _ in sent] == [names for _, names in sent]
    assert stage.lines("gathered") == ["all"]
    for task_id, item in before.items():
        assert stage.item(task_id).deliveries == item.deliveries
    assert [stage.items(key)[0].state for key in ("b", "all")] == ["completed"] * 2
    check_books(stage)


def test_retry_of_what_was_handed_back(stage: Scene) -> None:
    """A task that was handed back retries as Celery does, and stays outside the books."""
    stage.start()
    stage.hold("held")
    result = stage.tasks.work.delay(name="again", plan="retry", tenant="held")
    stage.until(lambda: stage.state(result.id) == "paused", "it is parked")
    hand_back("--all")
    assert result.get(timeout=20) == ["again"]
    assert stage.lines("tries") == ["again 0", "again 1"]
    assert [item.state for item in stage.items("again")] == ["cancelled"]


def test_copies_of_what_was_handed_back(stage: Scene) -> None:
    """A copy of its message that was sent before is dropped: it neither runs nor revokes it."""
    stage.start()
    stage.hold("held")
    result = stage.tasks.work.delay(name="copy", tenant="held")
    stage.until(lambda: stage.state(result.id) == "paused", "it is parked")
    stage.worker.program.kill_group()
    stage.resume(tenant="held")  # a copy is in the queue now
    stage.pause(items=[stage.item(result.id).id])
    hand_back("--all")
    stage.start()
    assert result.get(timeout=20) == ["copy"]
    stage.until(lambda: "is left to another copy" in stage.worker.said(), "the copy is dropped")
    assert (result.state, stage.lines("paid")) == ("SUCCESS", ["copy"])


def test_one_run(stage: Scene) -> None:
    """Of one run, only its own items are handed back."""
    stage.start()
    stage.hold("held")
    with papayya.run("first") as run:
        first = stage.tasks.work.delay(name="one", tenant="held")
    with papayya.run("second"):
        second = stage.tasks.work.delay(name="two", tenant="held")
    stage.until(lambda: {stage.state(one.id) for one in (first, second)} == {"paused"}, "parked")
    assert hand_back(run.id)["changed"] == 1
    assert first.get(timeout=20) == ["one"]
    assert (stage.state(second.id), second.state) == ("paused", "PAUSED")


def test_broker_away(stage: Scene, redis_server: RedisServer) -> None:
    """What cannot be sent stays parked."""
    stage.start()
    stage.hold("held")
    result = stage.tasks.work.delay(name="stays", tenant="held")
    stage.until(lambda: stage.state(result.id) == "paused", "it is parked")
    nowhere = "redis://127.0.0.1:1/0"
    env = {"PAPAYYA_IMPORT": TASKS.stem, "BROKER_URL": nowhere}
    done = command("drain", "--all", "--hand-back", **env)
    assert (done.returncode, stage.state(result.id)) == (1, "paused"), done.stderr


@pytest.mark.parametrize(
    ("modules", "said"),
    [
        ("", "name the modules that call papayya_celery.install(app) in PAPAYYA_IMPORT"),
        ("nowhere.tasks", "PAPAYYA_IMPORT names nowhere.tasks, which cannot be imported from"),
        ("bare_tasks", "no carrier is ready after bare_tasks was imported"),
    ],
)
def test_no_carrier(stage: Scene, modules: str, said: str) -> None:
    """Without an app to publish through, the command says which module to name."""
    done = command("drain", "--all", "--hand-back", PAPAYYA_IMPORT=modules)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert done.stderr.count("\n") == 1
    if modules:
        done = command("pump", "--once", PAPAYYA_IMPORT=modules)
        assert (done.returncode, said in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize(
    "wrong", [[], ["--all"], ["r", "--all", "--hand-back"], ["r", "--off", "--hand-back"]]
)
def test_wrong_usage(papayya_database: str, wrong: list[str]) -> None:
    """A run or all of them, and all of them only to hand them back."""
    assert command("drain", *wrong).returncode == 2


def test_pump_of_its_own(stage: Scene, tmp_path: Path) -> None:
    """`papayya pump` sends what is due where no worker does, once it is told of the app."""
    stage.start()
    result = stage.tasks.work.delay(name="due", plan="throttle")
    stage.until(lambda: stage.state(result.id) == "waiting", "it waits")
    stage.rows("UPDATE papayya.item SET due_at = papayya.now() WHERE state = 'waiting'")
    env = environment(PAPAYYA_IMPORT=TASKS.stem, PYTHONPATH=str(TASKS.parent))
    pump = Program([PAPAYYA, "pump", "--every", "0.1"], tmp_path, "pump", env)
    pump.start(lambda: "leading" in pump.said())
    try:
        assert result.get(timeout=20) == ["due"]
    finally:
        assert pump.stop() == 0
