"""The way out: what a publisher's call leaves in Postgres and in the broker."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from celery import Celery
from kombu.exceptions import EncodeError, OperationalError
from psycopg.rows import namedtuple_row

import papayya
import papayya_celery
from papayya_celery import capture
from papayya_core import runtime
from papayya_core.testing.databases import Databases
from papayya_core.testing.roundtrips import Proxy
from tests.support.celery_modules import forgotten_tasks
from tests.support.processes import free_port
from tests.support.redis_server import RedisServer

MakeApp = Callable[..., Any]
ITEM = """
SELECT i.agent, i.key, i.ordinal, i.tenant, i.run, i.state::text, i.outcome::text, i.reason,
       e.envelope_hash IS NOT NULL AS has_envelope, e.parent_id, i.id
FROM papayya.item_now i JOIN papayya.item e ON e.id = i.id
"""
RUN = "SELECT name, label, carrier, sealed_at IS NOT NULL AS sealed, expect_count FROM papayya.run"


@pytest.fixture(scope="module")
def dsn(papayya_databases: Databases, papayya_template: str) -> Iterator[str]:
    """One database for all; each test has a broker of its own."""
    with papayya_databases.copy_of(papayya_template) as name:
        yield papayya_databases.dsn(name)


@pytest.fixture(autouse=True)
def _here(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PAPAYYA_DATABASE_URL", dsn)
    monkeypatch.setattr(capture, "breaker", capture.Breaker(10.0))
    runtime.reset()
    with forgotten_tasks():
        yield
    runtime.reset()


@pytest.fixture
def make_app(redis_url: str) -> Iterator[MakeApp]:
    """Make apps that have us installed, on an empty broker."""
    made: list[Any] = []

    def make(broker: str = redis_url, **line: Any) -> Any:
        app = Celery("publisher", broker=broker, set_as_current=False)
        app.conf.update(broker_connection_timeout=1, task_publish_retry=False)
        app.task(name="tag")(_tag)
        app.task(name="other")(_tag)
        papayya_celery.install(app, **line)
        made.append(app)
        return app

    yield make
    for app in made:
        app.close()


def _tag(doc: Any, customer: str | None = None) -> Any:
    return doc


def rows(dsn: str, statement: str, *params: Any) -> list[Any]:
    """Run a statement of a test's own."""
    with psycopg.connect(dsn, row_factory=namedtuple_row) as connection:
        return connection.execute(statement.encode(), params).fetchall()


def item_of(dsn: str, task_id: str) -> Any:
    """Read the item of a task that is alone in its implicit run."""
    [item] = rows(dsn, f"{ITEM} WHERE i.run = %s", task_id)
    return item


def messages(redis: RedisServer, url: str) -> list[dict[str, Any]]:
    """Read what lies in the broker, the oldest first."""
    with redis.client(int(url.rpartition("/")[2])) as client:
        found: Any = client.lrange("celery", 0, -1)
    return [json.loads(message) for message in reversed(found)]


def test_message_and_item(
    dsn: str, make_app: MakeApp, redis_server: RedisServer, redis_url: str
) -> None:
    """A call leaves a queued item with its envelope, and a message that names it."""
    app = make_app(tenant="customer", item="doc")
    result = app.tasks["tag"].delay("d1", customer="acme")
    item = item_of(dsn, result.id)
    assert item[:9] == ("tag", "d1", 1, "acme", result.id, "queued", None, None, True)
    [message] = messages(redis_server, redis_url)
    header = {"run": result.id, "tenant": "acme", "id": item.id}
    assert message["headers"]["papayya"] == header
    assert [run[1:] for run in rows(dsn, f"{RUN} WHERE name = %s", result.id)] == [
        ("tag", "celery:publisher", True, None)
    ]


def test_message_is_otherwise_as_ever(
    make_app: MakeApp, redis_server: RedisServer, redis_url: str
) -> None:
    """But for its header and ids, a message is what Celery alone would send."""
    options: dict[str, Any] = {"expires": 600, "shadow": "s", "compression": "gzip"}
    bare = Celery("publisher", broker=redis_url, set_as_current=False)
    bare.task(name="tag")(_tag).apply_async(("d",), **options)
    make_app().tasks["tag"].apply_async(("d",), **options)
    bare.close()
    one, other = messages(redis_server, redis_url)
    assert other["headers"].pop("papayya")
    for message in (one, other):
        for name in ("id", "root_id", "expires"):
            del message["headers"][name]
        for name in ("correlation_id", "delivery_tag", "reply_to"):
            del message["properties"][name]
    assert one == other


def test_send_task_by_name(dsn: str, make_app: MakeApp) -> None:
    """A task that this process knows by name alone is named by its keyword arguments."""
    app = make_app(tenant="customer", item="doc")
    result = app.send_task("elsewhere.tag", kwargs={"doc": "d2", "customer": "acme"})
    assert item_of(dsn, result.id)[:5] == ("elsewhere.tag", "d2", 1, "acme", result.id)


def test_own_header(dsn: str, make_app: MakeApp) -> None:
    """A caller's own header wins over the app's rules."""
    header = {"papayya": {"tenant": "globex", "item": "mine", "run": f"own-{uuid.uuid4()}"}}
    app = make_app(tenant="customer", item="doc")
    app.tasks["tag"].apply_async(("d3", "acme"), headers=header)
    [item] = rows(dsn, f"{ITEM} WHERE i.run = %s", header["papayya"]["run"])
    assert item[:4] == ("tag", "mine", 1, "globex")


def test_ids_in_a_callers_header_mean_nothing(dsn: str, make_app: MakeApp) -> None:
    """A header with another message's item (copied from a request) makes an item of its own."""
    app = make_app(item="doc")
    first = item_of(dsn, app.tasks["tag"].delay("d4").id)
    header = {"papayya": {"id": first.id, "no": 7, "parent": first.id, "run": first.run}}
    app.tasks["tag"].apply_async(("d5",), headers=header)
    both = rows(dsn, f"{ITEM} WHERE i.run = %s ORDER BY i.id", first.run)
    assert [(item.key, item.state, item.parent_id) for item in both] == [
        ("d4", "queued", None),
        ("d5", "queued", None),
    ]


@pytest.mark.parametrize(
    "header", [{"tenant": 7, "item": [], "run": {"a": 1}}, "acme", ["x"], {"item": "a\0b"}, None]
)
def test_malformed_header(dsn: str, make_app: MakeApp, header: Any) -> None:
    """A header that makes no sense is as if it were not there."""
    app = make_app(tenant="customer", item="doc")
    result = app.tasks["tag"].apply_async(("d6", "acme"), headers={"papayya": header})
    assert item_of(dsn, result.id)[:5] == ("tag", "d6", 1, "acme", result.id)


def test_named_run(dsn: str, make_app: MakeApp) -> None:
    """Calls inside a named run belong to it: sealed at its end, under its tenant, as expected."""
    app, run_id = make_app(item="doc"), f"nightly-{uuid.uuid4()}"
    with papayya.run("nightly", tenant="acme", expect=2, run_id=run_id):
        app.tasks["tag"].delay("a")
        app.tasks["other"].delay("b")
        assert rows(dsn, f"{RUN} WHERE name = %s", run_id)[0].sealed is False
    found = rows(dsn, f"{ITEM} WHERE i.run = %s ORDER BY i.id", run_id)
    assert [item[:4] for item in found] == [("tag", "a", 1, "acme"), ("other", "b", 1, "acme")]
    [run] = rows(dsn, f"{RUN} WHERE name = %s", run_id)
    assert (run.label, run.sealed, run.expect_count) == ("nightly", True, 2)


def test_same_key_twice(dsn: str, make_app: MakeApp) -> None:
    """Two calls with one key are two items, as each is a message of its own."""
    app, run_id = make_app(item="doc"), f"twice-{uuid.uuid4()}"
    with papayya.run("twice", run_id=run_id):
        app.tasks["tag"].delay("a")
        app.tasks["tag"].delay("a")
    found = rows(dsn, f"{ITEM} WHERE i.run = %s ORDER BY i.id", run_id)
    assert [(item.key, item.ordinal) for item in found] == [("a", 1), ("a", 2)]


def test_rules_may_be_functions_and_paths(dsn: str, make_app: MakeApp) -> None:
    """Tenant, item and run come from paths into arguments and from functions of the message."""
    run_id = f"by-rule-{uuid.uuid4()}"
    app = make_app(
        tenant="doc.owner.id", item=lambda m: f"{m.task}/{m['doc']['no']}", run=lambda m: run_id
    )
    app.tasks["tag"].delay({"owner": {"id": 42}, "no": 1})
    [item] = rows(dsn, f"{ITEM} WHERE i.run = %s", run_id)
    assert item[:4] == ("tag", "tag/1", 1, "42")


def test_rule_that_raises(dsn: str, make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """A rule that raises is as if it were not there, which is said once per task."""
    name = f"tag-{uuid.uuid4()}"
    app = make_app(tenant=lambda m: 1 / 0, item="doc.missing")
    with caplog.at_level(logging.WARNING, "papayya.celery"):
        first = app.send_task(name, kwargs={"doc": {}})
        app.send_task(name, kwargs={"doc": {}})
    assert item_of(dsn, first.id)[:4] == (name, first.id, 1, "unattributed")
    said = [record.getMessage() for record in caplog.records]
    assert [text.split("=")[0] for text in said] == ["tenant", "item"]
    assert "division by zero" in said[0]


@pytest.mark.parametrize("line", [{"tenant": 7}, {"item": ""}, {"run": ["a"]}])
def test_senseless_rules_are_refused(make_app: MakeApp, line: dict[str, Any]) -> None:
    """What can neither be called nor followed is refused at install, and told what to give."""
    with pytest.raises(TypeError, match=r"takes the name of a task's argument"):
        make_app(**line)


@pytest.mark.parametrize(
    "value", ["nul \0 byte", "lone \ud800 surrogate", float("nan"), "x" * 2_000_000, b"\xff\0"]
)
def test_odd_arguments(
    dsn: str, make_app: MakeApp, redis_server: RedisServer, redis_url: str, value: Any
) -> None:
    """Arguments that Postgres or JSON have trouble with travel as Celery sends them, as items."""
    result = make_app(item="doc").tasks["tag"].delay(value)
    item = item_of(dsn, result.id)
    assert (item.state, item.has_envelope) == ("queued", True)
    [message] = messages(redis_server, redis_url)
    assert message["headers"]["papayya"]["id"] == item.id


def test_unserialisable_argument(dsn: str, make_app: MakeApp) -> None:
    """What Celery cannot serialize raises as ever, and leaves no item."""
    before = rows(dsn, "SELECT count(*) FROM papayya.item")
    with pytest.raises(EncodeError):
        make_app().tasks["tag"].delay(object())
    assert rows(dsn, "SELECT count(*) FROM papayya.item") == before


def test_pickle(dsn: str, make_app: MakeApp) -> None:
    """A message in pickle is an item whose envelope is kept as it is."""
    result = (
        make_app(item="doc.args").tasks["tag"].apply_async((ValueError("d7"),), serializer="pickle")
    )
    assert item_of(dsn, result.id).has_envelope


def test_broker_away(dsn: str, make_app: MakeApp) -> None:
    """A publish that fails raises as ever, and its item says so."""
    app, run_id = make_app(broker=f"redis://127.0.0.1:{free_port()}/0"), f"away-{uuid.uuid4()}"
    with papayya.run("away", run_id=run_id), pytest.raises(OperationalError):
        app.tasks["tag"].delay("d8")
    [item] = rows(dsn, f"{ITEM} WHERE i.run = %s", run_id)
    assert (item.state, item.outcome) == ("failed", "failed")
    assert item.reason.startswith("it could not be published: ")
    checks = rows(dsn, "SELECT check_name FROM papayya.finding WHERE item_id = %s", item.id)
    assert checks == [("publish_failed",)]


def test_postgres_away(
    make_app: MakeApp,
    redis_server: RedisServer,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without Postgres messages go with their names alone; only the first of them waits for it."""
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    monkeypatch.setenv("PAPAYYA_DATABASE_URL", url)
    runtime.reset()
    app = make_app(tenant="customer", item="doc")
    with caplog.at_level(logging.WARNING, "papayya.celery"):
        app.tasks["tag"].delay("d9", customer="acme")
        monkeypatch.setattr(runtime.runtime(), "engine", lambda: pytest.fail("asked again"))
        app.tasks["tag"].delay("d10", customer="acme")
    first, second = (message["headers"] for message in messages(redis_server, redis_url))
    assert first["papayya"] == {"run": first["id"], "tenant": "acme", "item": "d9"}
    assert second["papayya"] == {"run": second["id"], "tenant": "acme", "item": "d10"}
    assert len([r for r in caplog.records if "without Postgres" in r.getMessage()]) == 1


KILLED = """
import os, sys
from celery import Celery
from kombu.messaging import Producer
import papayya_celery
app = Celery("publisher", broker=sys.argv[1])
papayya_celery.install(app, item="doc")
Producer._publish = lambda *args, **kwargs: os._exit(7)
app.send_task("tag", kwargs={"doc": "killed"}, task_id=sys.argv[2])
"""


def test_publisher_killed(
    dsn: str,
    make_app: MakeApp,
    redis_server: RedisServer,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a publisher left between Postgres and the broker is sent by the pump, once."""
    from papayya_core.pump import Pump

    task_id = str(uuid.uuid4())
    done = subprocess.run([sys.executable, "-c", KILLED, redis_url, task_id], check=False)
    assert done.returncode == 7
    item = item_of(dsn, task_id)
    assert (item.state, messages(redis_server, redis_url)) == ("queued", [])
    make_app()
    here = runtime.runtime()
    with psycopg.connect(dsn, autocommit=True) as connection:
        # nothing but this item is due now
        connection.execute("UPDATE papayya.item SET send_at = NULL WHERE id <> %s", [item.id])
        connection.execute("UPDATE papayya.item SET send_at = now() WHERE id = %s", [item.id])
    pump = Pump(here.engine().store, here.plugins, here.settings, here.owner)
    assert pump.turn().sent == 1
    assert pump.turn().sent == 0
    [message] = messages(redis_server, redis_url)
    assert message["headers"]["id"] == task_id
    assert message["headers"]["papayya"]["id"] == item.id


def test_one_round_trip(dsn: str, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call costs its publisher one round trip to Postgres."""
    with Proxy(dsn) as proxy:
        monkeypatch.setenv("PAPAYYA_DATABASE_URL", proxy.dsn)
        runtime.reset()
        app = make_app(tenant="customer", item="doc")
        app.tasks["tag"].delay("warm")
        with proxy.counting() as trips:
            for n in range(3):
                app.tasks["tag"].delay(f"trip-{n}", customer="acme")
        assert list(trips.counts.values()) == [3]
        runtime.reset()


def test_neither_of_two_apps_minds_the_other(dsn: str, make_app: MakeApp, redis_url: str) -> None:
    """An app in the same process that has us not installed publishes as it always did."""
    make_app()
    bare = Celery("bare", broker=redis_url, set_as_current=False)
    result = bare.task(name="tag")(_tag).delay("bare")
    bare.close()
    assert rows(dsn, f"{ITEM} WHERE i.run = %s", result.id) == []
