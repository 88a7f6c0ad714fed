"""The broker and the result backend forget everything; Postgres does not."""

from __future__ import annotations

import pytest
from celery import chain, chord

from tests.acceptance.celery.arena import Arena
from tests.support.redis_server import RedisServer


def forget(fire: Arena, redis_server: RedisServer) -> None:
    """Empty all of Redis, and the queue on RabbitMQ."""
    redis_server.flushall()
    if fire.app.app.conf.broker_url.startswith("amqp"):
        fire.app.app.control.purge()


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"], indirect=True, scope="module")
def test_flushed(fire: Arena, redis_server: RedisServer) -> None:
    """What was queued, half a chain, and chords in each stage end right, and once."""
    work, gather, light = fire.app.work, fire.app.gather, fire.app.light
    done, c1, c2, c3 = fire.fresh("done", "c1-", "c2-", "c3-")
    a1, a2, a_body, b1, b2, b3, b_body = fire.fresh("a1-", "a2-", "ab", "b1-", "b2-", "b3-", "bb")
    queued = [fire.fresh("queued") for _ in range(20)]
    fire.hold("closed", a2)  # all of its chord has ended, and Celery has not counted it yet
    fire.hold("body", c2, b2)
    finished = light.delay(name=done)
    fire.result(finished)
    ended = chord([work.si(name=a1), work.si(name=a2)], gather.s(name=a_body)).apply_async()
    fire.held("closed", a2)
    steps = chain(work.si(name=c1), work.si(name=c2), work.si(name=c3)).apply_async()
    fire.held("body", c2)
    header = [work.si(name=b1), work.si(name=b2), light.si(name=b3)]
    half = chord(header, gather.s(name=b_body)).apply_async()
    fire.held("body", b2)
    fire.until(lambda: fire.count([b1, b3], "completed") == 2, "most of the chord has ended")
    fire.hold("body", queued[0])
    first = light.delay(name=queued[0])
    fire.held("body", queued[0])  # no child is free
    rest = [light.delay(name=name) for name in queued[1:]]
    forget(fire, redis_server)
    fire.go("closed", a2)
    fire.go("body", c2, b2, queued[0])
    assert fire.result(ended) == [a1, a2]
    assert fire.result(steps) == c3
    assert fire.result(half) == [b1, b2, b3]
    assert [fire.result(one) for one in (first, *rest)] == queued
    fire.settle()
    again = fire.app.app.AsyncResult(finished.id)  # the other one remembers what it has seen
    fire.until(again.ready, "the old result is there again")
    assert again.get() == done
    works = [a1, a2, b1, b2, c1, c2, c3]
    once = {f"{name} {label}": 1 for name in works for label in ("first", "second")}
    once |= {f"{body} gather": 1 for body in (a_body, b_body)}
    assert fire.paid(*works, a_body, b_body) == once


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"], indirect=True, scope="module")
def test_flushed_while_paused(fire: Arena, redis_server: RedisServer) -> None:
    """A chord with paused members ends right when all was forgotten before they are resumed."""
    light, gather = fire.app.light, fire.app.gather
    names = [fire.fresh("member") for _ in range(20)]
    body = fire.fresh("body")
    fire.hold("body", *names)
    result = chord([light.si(name=name) for name in names], gather.s(name=body)).apply_async()
    parked = names[10:]
    fire.pause(parked)
    fire.go("body", *names)
    fire.until(lambda: fire.count(names, "completed") == 10, "the others have ended")
    forget(fire, redis_server)
    fire.resume(parked)
    assert fire.result(result) == names
    fire.settle()
    assert fire.paid(body) == {f"{body} gather": 1}
