"""A pause that lasts longer than results do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import chord, group

from tests.acceptance.celery.arena import Arena
from tests.acceptance.celery.conftest import MakeArena
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="module")
def hasty(make_arena: MakeArena) -> Iterator[Arena]:
    """An arena whose results last for three seconds."""
    with make_arena(FIRE_RESULT_EXPIRES="3") as made:
        made.start_worker()
        yield made


def test_results_expire_during_a_pause(hasty: Arena, redis_server: RedisServer) -> None:
    """A chord of 100 ends right though the results of most of it are gone when it is resumed."""
    light, gather = hasty.app.light, hasty.app.gather
    names = [hasty.fresh("member") for _ in range(100)]
    body, parked = hasty.fresh("body"), names[35:65]
    hasty.hold("body", *names)
    result = chord(group(light.si(name=name) for name in names), gather.s(name=body)).apply_async()
    hasty.pause(parked)
    hasty.go("body", *names)
    hasty.until(lambda: hasty.count(names, "completed") == 70, "the others have ended")
    database = int(hasty.app.app.conf.result_backend.rpartition("/")[2])
    with redis_server.client(database) as client:
        hasty.until(lambda: not client.keys("celery-task-meta-*"), "their results are gone")
    hasty.resume(parked)
    assert hasty.result(result) == names
    hasty.settle()
    assert hasty.paid(body) == {f"{body} gather": 1}
