"""Admission: another tenant's burst keeps nobody waiting, and nothing of it is lost."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.acceptance.celery.arena import Arena
from tests.acceptance.celery.conftest import MakeArena
from tests.support.redis_server import RedisServer

BEFORE = """
SELECT count(*) FROM papayya.item WHERE key = ANY (%s)
AND started_at < (SELECT max(started_at) FROM papayya.item WHERE key = ANY (%s))
"""
LOST = """
SELECT i.key FROM papayya.item i JOIN papayya.dispatch d ON d.item_id = i.id AND d.ending = 'lost'
"""
BURST = """
import os
for n in range(60):
    work.delay(name=f"item{n}")
os.kill(os.getpid(), 9)
"""


def publish(fire: Arena, tenant: str, count: int) -> tuple[list[str], list[Any]]:
    """Publish items of a tenant."""
    names = [fire.fresh(tenant) for _ in range(count)]
    whose = {"papayya": {"tenant": tenant}}
    light = fire.app.light
    return names, [light.apply_async(kwargs={"name": name}, headers=whose) for name in names]


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_burst(make_arena: MakeArena, broker: str) -> None:
    """Five items that come after three hundred of another tenant wait for a few dozen of them."""
    with make_arena(broker, FIRE_ADMISSION="20") as fire:
        many, burst = publish(fire, "big", 300)
        few, others = publish(fire, "small", 5)
        fire.start_worker()
        assert [fire.result(one) for one in others] == few
        assert fire.query(BEFORE, many, few)[0][0] < 60
        assert [fire.result(one) for one in burst] == many
        fire.settle()


def test_nothing_is_lost(make_arena: MakeArena, redis_server: RedisServer) -> None:
    """Publisher and worker with its pump are killed, Redis forgets: all ends, what is known paid once."""
    with make_arena(FIRE_ADMISSION="5") as fire:
        names = [f"item{n}" for n in range(60)]
        assert fire.publish_apart(BURST) == -signal.SIGKILL
        assert fire.count(names, "queued") == 60
        fire.start_worker()
        fire.until(lambda: fire.count(names, "completed") >= 10, "some have ended")
        fire.worker.kill_parent()
        redis_server.flushall()
        fire.worker.start()
        fire.until(lambda: fire.count(names, "completed") == 60, "all have ended", 60)
        fire.settle()
        paid = fire.paid(*names)
        assert len(paid) == 2 * len(names)
        twice = {step.split()[0] for step, times in paid.items() if times > 1}
        assert twice <= {name for (name,) in fire.query(LOST)}, "they died in the middle of a step"
        assert max(paid.values()) <= 2
