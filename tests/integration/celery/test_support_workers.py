"""The tests' own workers and brokers, with tasks that have never heard of us."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.support.celery_fixtures import LoadApp
from tests.support.celery_worker import StartWorker
from tests.support.processes import is_alive

TASKS = Path(__file__).parent / "apps" / "bare_tasks.py"
POOLS = ("prefork", "threads", "solo", "gevent")


@pytest.fixture
def bare(redis_url: str, monkeypatch: pytest.MonkeyPatch, load_app: LoadApp) -> ModuleType:
    """The bare tasks, on Redis."""
    monkeypatch.setenv("BROKER_URL", redis_url)
    monkeypatch.setenv("RESULT_URL", redis_url)
    return load_app(TASKS)


@pytest.mark.parametrize("pool", POOLS)
def test_task_runs(bare: ModuleType, celery_worker: StartWorker, pool: str) -> None:
    """A worker of each pool runs a task."""
    celery_worker(TASKS, pool=pool)
    assert bare.add.delay(1, 2).get(timeout=20) == 3


def test_worker_stops(bare: ModuleType, celery_worker: StartWorker) -> None:
    """A worker that is asked to stop ends with code 0."""
    assert celery_worker(TASKS, pool="threads").stop() == 0


def test_task_runs_on_rabbitmq(
    amqp_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    load_app: LoadApp,
    celery_worker: StartWorker,
) -> None:
    """A worker runs a task that came through RabbitMQ."""
    monkeypatch.setenv("BROKER_URL", amqp_url)
    monkeypatch.setenv("RESULT_URL", redis_url)
    celery_worker(TASKS)
    assert load_app(TASKS).add.delay(1, 2).get(timeout=20) == 3


def test_killed_child(bare: ModuleType, celery_worker: StartWorker, tmp_path: Path) -> None:
    """A killed child is replaced, and its task is run by another."""
    worker = celery_worker(TASKS)
    result = bare.hold.delay(str(tmp_path))
    (busy,) = worker.until(lambda: list(tmp_path.glob("held-*")), "the task runs")
    victim = worker.kill_child(int(busy.name.removeprefix("held-")))
    worker.until(lambda: len(worker.children) == worker.concurrency, "the child is replaced")
    (tmp_path / "go").touch()
    assert result.get(timeout=20) in {*worker.children} - {victim}


def test_killed_parent(bare: ModuleType, celery_worker: StartWorker, tmp_path: Path) -> None:
    """A killed parent leaves no orphan, not even one with a task."""
    worker = celery_worker(TASKS)
    bare.hold.delay(str(tmp_path))
    worker.until(lambda: list(tmp_path.glob("held-*")), "the task runs")
    family = [worker.pid, *worker.children]
    worker.kill_parent()
    assert not any(map(is_alive, family))
