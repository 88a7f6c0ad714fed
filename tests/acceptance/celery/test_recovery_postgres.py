"""Postgres is killed under workers, or away when a message arrives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import chord

from papayya_core import migrate
from papayya_core.embedded import Server
from tests.acceptance.celery.arena import Arena, arena
from tests.acceptance.recovery.postgres import kill, lasting_server
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    """Run a Postgres of the module's own."""
    with lasting_server() as server:
        migrate.apply(server.dsn)
        yield server


@pytest.fixture
def frail(
    postgres: Server, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Arena]:
    """An arena whose Postgres may be killed."""
    url = redis_server.fresh_url()
    with arena(postgres.dsn, tmp_path_factory.mktemp("fire"), url, url) as made:
        yield made


def test_killed_mid_run(frail: Arena, postgres: Server) -> None:
    """Workers wait for a Postgres that comes back: nothing fails, nothing is paid twice."""
    frail.start_worker()
    names, body = [frail.fresh("member") for _ in range(30)], frail.fresh("body")
    busy = names[:4]
    frail.hold("body", *busy)
    header = [frail.app.work.si(name=name) for name in names]
    result = chord(header, frail.app.gather.s(name=body)).apply_async()
    for name in busy:
        frail.held("body", name)
    kill(postgres)
    frail.go("body", *busy)
    frail.until(
        lambda: all(f"{name} second" in frail.paid(name) for name in busy),
        "all that were at work have paid while Postgres is away",
    )
    postgres.start()
    assert frail.result(result) == names
    frail.settle()
    once = {f"{name} {label}": 1 for name in names for label in ("first", "second")}
    assert frail.paid(*names, body) == once | {f"{body} gather": 1}


def test_all_but_the_books_are_lost(frail: Arena, postgres: Server) -> None:
    """What Postgres committed before it was killed is sent when the broker has lost it."""
    name = frail.fresh("early")
    result = frail.app.light.delay(name=name)
    frail.app.app.control.purge()
    kill(postgres)
    postgres.start()
    frail.start_worker(1)
    assert frail.result(result) == name
    frail.settle()


def test_away_for_long(frail: Arena, postgres: Server) -> None:
    """Messages that cannot be opened go back to their queue; one without an item gets its own."""
    worker = frail.start_worker(1, PAPAYYA_DB_PATIENCE="1")
    warm, known, unknown = frail.fresh("warm", "known", "unknown")
    assert frail.result(frail.app.light.delay(name=warm)) == warm
    control = frail.app.app.control
    control.cancel_consumer("celery", reply=True, timeout=5, limit=1)
    results = [frail.app.work.delay(name=known)]
    kill(postgres)
    results += [frail.app.work.delay(name=unknown)]
    control.add_consumer("celery", reply=True, timeout=5, limit=1)
    for result in results:
        back = f"{result.id} goes back to its queue"
        frail.until(lambda back=back: back in worker.said(), back)  # type: ignore[misc]
    assert not frail.paid(known, unknown)
    postgres.start()
    assert [frail.result(one) for one in results] == [known, unknown]
    frail.settle()
    assert set(frail.paid(known, unknown).values()) == {1}
