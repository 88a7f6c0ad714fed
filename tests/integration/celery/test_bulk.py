"""Many messages at once: a few statements, each row once, and nothing twice."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from celery import Celery
from kombu.exceptions import EncodeError

import papayya
import papayya_celery
from papayya_core import runtime
from papayya_core.errors import PapayyaError
from papayya_core.testing.roundtrips import Proxy
from tests.support.celery_modules import forgotten_tasks
from tests.support.redis_server import RedisServer

ITEMS = """
SELECT i.key, i.ordinal, i.tenant, i.state::text, i.run
FROM papayya.item_now i ORDER BY i.id
"""


@pytest.fixture
def app(papayya_database: str, redis_url: str) -> Iterator[Any]:
    """An app with a task, on an empty database and an empty broker."""
    with forgotten_tasks():
        app: Any = Celery("bulk", broker=redis_url, set_as_current=False)
        app.task(name="tag")(_tag)
        app.task(name="apart")(_apart)
        papayya_celery.install(app, tenant="customer", item="doc", only="t*")
        yield app
        app.close()


def _tag(doc: str, customer: str = "nobody") -> str:
    return doc


def _apart() -> None:
    pass


def rows(dsn: str, statement: str = ITEMS, *params: Any) -> list[Any]:
    """Run a statement of a test's own."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(statement.encode(), params).fetchall()


def waiting(redis: RedisServer, url: str) -> int:
    """Count the messages in the broker."""
    with redis.client(int(url.rpartition("/")[2])) as client:
        return int(client.llen("celery"))


def test_statements(
    app: Any,
    papayya_database: str,
    redis_server: RedisServer,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """2,000 rows are captured by one statement per 500, and their run is sealed."""
    with Proxy(papayya_database) as proxy:
        monkeypatch.setenv("PAPAYYA_DATABASE_URL", proxy.dsn)
        runtime.reset()
        app.tasks["tag"].delay("warm")
        with proxy.counting() as trips:
            results = papayya_celery.submit(app.tasks["tag"], (f"d{n}" for n in range(2_000)))
        runtime.reset()
    assert sorted(trips.counts.values()) == [1, 4]
    assert trips.counts["publish_v1"] == 4
    assert len({result.id for result in results}) == 2_000
    assert waiting(redis_server, redis_url) == 2_001
    [(count, runs, sealed)] = rows(
        papayya_database,
        "SELECT count(*), count(DISTINCT run_id), bool_and(r.sealed_at IS NOT NULL)"
        " FROM papayya.item i JOIN papayya.run r ON r.id = i.run_id WHERE i.key <> 'warm'",
    )
    assert (count, runs, sealed) == (2_000, 1, True)


def test_rows(app: Any, papayya_database: str) -> None:
    """A row is keyword arguments, positional ones, or the one argument."""
    given: list[Any] = [{"doc": "a", "customer": "acme"}, ("b", "globex"), ["c"], "d"]
    run_id = "rows"
    with papayya.run("rows", run_id=run_id):
        papayya_celery.submit(app.tasks["tag"], given)
    assert rows(papayya_database) == [
        ("a", 1, "acme", "queued", run_id),
        ("b", 1, "globex", "queued", run_id),
        ("c", 1, "nobody", "queued", run_id),
        ("d", 1, "nobody", "queued", run_id),
    ]


def test_rules_for_these_rows(app: Any, papayya_database: str) -> None:
    """Tenant and item that are given to submit win over those of install."""
    papayya_celery.submit(
        app.tasks["tag"], ["a"], tenant=lambda message: "mine", item=lambda m: f"x-{m['doc']}"
    )
    [row] = rows(papayya_database)
    assert row[:3] == ("x-a", 1, "mine")


def test_again_sends_what_is_new(
    app: Any, papayya_database: str, redis_server: RedisServer, redis_url: str
) -> None:
    """Submitted again to its run, a row is the item and the result it was; new ones are sent."""
    found = []
    for given in (["a", "b"], ["a", "b", "c"], ["c", "b", "a"]):
        with papayya.run("again", run_id="again"):
            found.append({r.id for r in papayya_celery.submit(app.tasks["tag"], given)})
    assert found[0] < found[1] == found[2]
    assert [row[0] for row in rows(papayya_database)] == ["a", "b", "c"]
    assert waiting(redis_server, redis_url) == 3


def test_same_row_twice(
    app: Any, papayya_database: str, redis_server: RedisServer, redis_url: str
) -> None:
    """In a named run a row that comes twice is one item; in a run of its own it is two."""
    with papayya.run("named", run_id="named"):
        first, second = papayya_celery.submit(app.tasks["tag"], ["a", "a"])
    assert (first.id, waiting(redis_server, redis_url)) == (second.id, 1)
    first, second = papayya_celery.submit(app.tasks["tag"], ["a", "a"])
    assert first.id != second.id
    assert [row[:2] for row in rows(papayya_database)] == [("a", 1), ("a", 1), ("a", 2)]
    assert waiting(redis_server, redis_url) == 3


def test_one_key_two_inputs(app: Any, papayya_database: str) -> None:
    """Rows of one key with other arguments are items of their own, also when submitted again."""
    for _ in range(2):
        with papayya.run("keys", run_id="keys"):
            papayya_celery.submit(
                app.tasks["tag"], [("a", "x"), ("b", "x")], tenant=lambda m: "t", item=lambda m: "k"
            )
    assert [row[:2] for row in rows(papayya_database)] == [("k", 1), ("k", 2)]


def test_rule_that_raises(
    app: Any, papayya_database: str, redis_server: RedisServer, redis_url: str
) -> None:
    """What a rule raises for a row goes to the caller, names it, and nothing of its batch is sent."""
    with pytest.raises(KeyError, match="missing") as caught:
        papayya_celery.submit(app.tasks["tag"], ["a"], item=lambda message: message["missing"])
    assert caught.value.__notes__ == ["in row 0 of submit, counted from 0; sent are those before 0"]
    assert (rows(papayya_database), waiting(redis_server, redis_url)) == ([], 0)


def test_row_that_cannot_be_sent(app: Any, papayya_database: str) -> None:
    """Arguments that Celery cannot serialize raise before anything of their batch is captured."""
    with pytest.raises(EncodeError) as caught:
        papayya_celery.submit(app.tasks["tag"], ["a", object()], item=lambda message: "key")
    assert caught.value.__notes__[0].startswith("in row 1 of submit")
    assert rows(papayya_database) == []


def test_unmanaged_task(app: Any) -> None:
    """A task that is not managed is refused, with what to do about it."""
    with pytest.raises(PapayyaError, match=r"call papayya_celery\.install\(app\) first"):
        papayya_celery.submit(app.tasks["apart"], [{}])


def test_options(app: Any, redis_server: RedisServer, redis_url: str) -> None:
    """Options of apply_async hold for each message, and a caller's headers stay."""
    papayya_celery.submit(
        app.tasks["tag"], ["a"], queue="other", headers={"mine": str(uuid.UUID(int=0))}
    )
    with redis_server.client(int(redis_url.rpartition("/")[2])) as client:
        [message] = client.lrange("other", 0, -1)
    assert '"mine": "00000000' in message
