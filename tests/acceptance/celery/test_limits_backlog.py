"""Slow workers: a backlog is no loss, and a message that comes twice is one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.celery.arena import LEASE_S, Arena
from tests.acceptance.celery.conftest import MakeArena

STARTED = "SELECT key FROM papayya.item WHERE key = ANY (%s) ORDER BY started_at"
LATE = """
SELECT 1 FROM papayya.item WHERE key = %s AND created_at < papayya.now() - make_interval(secs => %s)
"""
SENT = "SELECT count(*) FROM papayya.dispatch d JOIN papayya.item i ON i.id = d.item_id WHERE i.key = ANY (%s)"


@pytest.fixture
def slow(make_arena: MakeArena) -> Iterator[Arena]:
    """An arena with one child, whose Redis takes two seconds for a lost worker."""
    with make_arena(FIRE_VISIBILITY="2") as made:
        made.start_worker(1)
        yield made


def test_redelivered_while_it_runs(slow: Arena) -> None:
    """Redis delivers again what takes longer than its visibility timeout: the body runs once."""
    slow.start_worker(1)  # one more, to take what is delivered again
    name = slow.fresh("long")
    slow.hold("body", name)
    result = slow.app.once.delay(name=name)
    slow.held("body", name)
    left = f"{result.id} is left to another copy"
    slow.until(lambda: any(left in one.said() for one in slow.workers), "it was delivered again")
    slow.go("body", name)
    assert slow.result(result) == name
    slow.settle()
    assert slow.paid(name) == {f"{name} once": 1}
    assert slow.item(name)["deliveries"] == 1
    slow.workers.pop().stop()


@pytest.fixture
def patient(make_arena: MakeArena) -> Iterator[Arena]:
    """An arena with one child."""
    with make_arena() as made:
        made.start_worker(1)
        yield made


def test_backlog(patient: Arena) -> None:
    """A queue that is longer than several leases is worked through in order, each message once."""
    light = patient.app.light
    names = [patient.fresh("item") for _ in range(300)]
    patient.hold("body", names[0], names[150])
    results = [light.delay(name=name) for name in names]
    for number in (0, 150):
        patient.held("body", names[number])
        patient.until(lambda: patient.query(LATE, names[299], 2 * LEASE_S), "leases have passed")
        patient.go("body", names[number])
    assert [patient.result(one) for one in results] == names
    patient.settle()
    assert [row[0] for row in patient.query(STARTED, names)] == names
    assert patient.query(SENT, names) == [(300,)]
    received = patient.worker.said().count("Task fire.light[") - 300  # each says how it ended, too
    assert received <= 300 + 2
