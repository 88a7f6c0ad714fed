"""What a task sees of its request after a pause: the same as without one, and as without us."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery, chain

import papayya
from papayya_core.testing.databases import Databases
from tests.integration.celery.scene import Scene, Servers, scene

BROKERS = ("redis", "rabbitmq")
Signed = Callable[[Any, str], Any]


def _signed(*args: Any, **options: Any) -> Signed:
    return lambda tasks, name: tasks.look.s(*args, name=name).set(**options)


def _linked(tasks: Any, name: str) -> Any:
    link, errback = tasks.heard.s(name="link"), tasks.missed.s(name="errback")
    return tasks.look.s(name=name).set(link=[link], link_error=[errback])


def _stamped(tasks: Any, name: str) -> Any:
    signature = tasks.look.s(name=name)
    signature.stamp(customer="acme", level=[1, 2])
    return signature


CASES: dict[str, Signed] = {
    "plain": _signed(1, "two"),
    "headers": _signed(headers={"x-trace": "abc", "x-deep": {"y": [1]}}, shadow="another name"),
    "priority": _signed(priority=7),
    "limits": _signed(time_limit=300, soft_time_limit=200),
    "pickle": _signed((1, 2), b"bytes", serializer="pickle"),
    "gzip": _signed("x" * 5000, compression="gzip"),
    "reply": _signed(reply_to="nobody", correlation_id="mine"),
    "queue": _signed(queue="other"),
    "topic": _signed(queue="topical", routing_key="a.b.c"),
    "no result": _signed(ignore_result=True),
    "expires": _signed(expires=3600),
    "countdown": _signed(eta=datetime(2020, 1, 1, tzinfo=UTC)),
    "properties": _signed(delivery_mode=1, app_id="shop"),  # not for strangers: app_id is lost
    "linked": _linked,
    "stamped": _stamped,
    "first of a chain": lambda tasks, name: chain(tasks.look.s(name=name), tasks.heard.s(name="c")),
}


@pytest.fixture(scope="module", params=BROKERS)
def servers(
    request: pytest.FixtureRequest, papayya_databases: Databases, papayya_template: str
) -> Iterator[Servers]:
    """A database, one of the brokers, and results in Redis."""
    results = request.getfixturevalue("redis_server").fresh_url()
    broker = results
    if request.param == "rabbitmq":
        broker = request.getfixturevalue("rabbitmq_server").fresh_url()
    with papayya_databases.copy_of(papayya_template) as name:
        yield Servers(papayya_databases.dsn(name), broker, results)


@pytest.fixture(scope="module")
def bare(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each task sees where nobody has heard of us."""
    with scene(servers, tmp_path_factory.mktemp("bare"), LINE="0") as stage:
        stage.start()
        for name, signed in CASES.items():
            signed(stage.tasks, name).apply_async()
        return {name: looks(stage, name, 1)[0] for name in CASES}


@pytest.fixture(scope="module")
def stage(
    servers: Servers, bare: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """The same app with the line, and one worker."""
    with scene(servers, tmp_path_factory.mktemp("line")) as made:
        made.start()
        yield made


def looks(stage: Scene, name: str, count: int, whose: str | None = None) -> list[Any]:
    """Wait for what a task has seen so many times."""
    file = f"looks-{name}"
    lines = stage.until(
        lambda: lines if len(lines := stage.lines(file)) == count else None, f"{name} has looked"
    )
    return [
        _blurred(json.loads(line.replace(whose or stage.app.thread_oid, "the app")))
        for line in lines
    ]


def _blurred(look: Any) -> Any:
    """Leave out the ids of what follows: they are made anew, and ours may be given earlier."""
    request = look["request"]
    for what in ("callbacks", "errbacks", "chain"):
        for signature in request[what] or ():
            signature["options"].pop("task_id", None)
    return look


@pytest.mark.parametrize("name", CASES)
def test_request(stage: Scene, bare: dict[str, Any], name: str) -> None:
    """A body sees of its request what it would see bare, whether it was paused or not."""
    CASES[name](stage.tasks, name).apply_async()
    [unpaused] = looks(stage, name, 1)
    with papayya.run(name) as run:
        stage.pause(run=run.id)
        CASES[name](stage.tasks, name).apply_async()
    parked = "SELECT id FROM papayya.item_now WHERE run = %(run)s AND state = 'paused'"
    stage.until(lambda: stage.rows(parked, run=run.id), "it is parked")
    stage.resume(run=run.id)
    paused = looks(stage, name, 2)[1]
    assert unpaused == bare[name]
    assert paused == bare[name]


def test_expiry(stage: Scene) -> None:
    """The time that a message was parked is added to its expiry; its broker is given none."""
    before = datetime.now(UTC)
    kwargs = {"name": "expiring"}
    result = stage.tasks.look.apply_async(kwargs=kwargs, queue="nobody", expires=600)
    item = stage.item(result.id).id
    stage.pause(items=[item])
    hour = "UPDATE papayya.item SET parked_at = parked_at - interval '1 hour' WHERE id = %(item)s"
    stage.rows(hour, item=item)
    stage.resume(items=[item])
    with stage.app.connection_for_read() as connection:
        channel = connection.default_channel
        first, second = (channel.basic_get("nobody", no_ack=True) for _ in range(2))
    assert "expiration" not in second.properties
    assert first.properties.get("expiration") in ("600000", None)
    expiries = [datetime.fromisoformat(one.headers["expires"]) for one in (first, second)]
    assert expiries[0] - before < timedelta(minutes=11)
    assert timedelta(minutes=60) <= expiries[1] - expiries[0] < timedelta(minutes=61)


STRANGERS = [name for name in CASES if name not in ("properties", "stamped", "first of a chain")]


@pytest.mark.parametrize("name", STRANGERS)
def test_request_of_strangers(stage: Scene, bare: dict[str, Any], name: str) -> None:
    """A message whose publisher knew nothing of us is rebuilt by the worker that parks it."""
    count = len(stage.lines(f"looks-{name}"))
    signature = CASES[name](stage.tasks, name)
    options = {"priority": None, "ignore_result": False, **signature.options}  # as apply_async does
    stage.pause(tenant="unattributed")
    try:
        with Celery(broker=stage.servers.broker, backend=stage.servers.results) as app:
            app.conf.task_queues = stage.app.conf.task_queues
            result = app.send_task(signature.task, signature.args, signature.kwargs, **options)
            whose = app.thread_oid
        stage.until(lambda: stage.state(result.id) == "paused", "it is parked")
    finally:
        stage.resume(tenant="unattributed")
    look = looks(stage, name, count + 1, whose)[-1]
    assert look == bare[name]
