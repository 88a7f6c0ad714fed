"""The way in: messages whose publisher said little, nothing, or something else's name."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain

from papayya_core.testing.roundtrips import Proxy
from tests.integration.celery.scene import MakeScene, Scene
from tests.support.celery_worker import CeleryWorker

APP = Path(__file__).parent / "apps" / "naming_tasks.py"
ECHO = "naming_tasks.echo"
ITEM = """
SELECT i.agent, i.key, i.tenant, i.run, i.state::text, i.deliveries, e.envelope_hash IS NOT NULL
FROM papayya.item_now i JOIN papayya.item e ON e.id = i.id WHERE i.key = %(key)s ORDER BY i.id
"""


@pytest.fixture(scope="module")
def family(make_scene: MakeScene) -> Iterator[Scene]:
    """The app and a worker."""
    with make_scene("arrivals", module=APP) as made:
        made.start()
        yield made


@pytest.fixture
def stranger(family: Scene) -> Iterator[Any]:
    """A producer that knows the broker, and nothing of us."""
    servers = family.servers
    app = Celery("stranger", broker=servers.broker, backend=servers.results, set_as_current=False)
    yield app
    app.close()


def test_producer_without_us(family: Scene, stranger: Any) -> None:
    """A message that nobody captured is an item from its arrival on, which can be sent again."""
    kwargs = {"value": 1, "tenant": "acme", "doc": "doc-bare"}
    result = stranger.send_task(ECHO, kwargs=kwargs)
    assert result.get(timeout=20) == 1
    assert family.rows(ITEM, key="doc-bare") == [
        (ECHO, "doc-bare", "acme", result.id, "completed", 1, True)
    ]


def test_names_without_an_item(family: Scene, stranger: Any) -> None:
    """A message that was named while Postgres was away becomes the item that it was to be."""
    run = f"away-{uuid.uuid4()}"
    header = {"papayya": {"run": run, "tenant": "acme", "item": "doc-away"}}
    result = stranger.send_task(ECHO, args=[2], headers=header)
    assert result.get(timeout=20) == 2
    assert family.rows(ITEM, key="doc-away") == [
        (ECHO, "doc-away", "acme", run, "completed", 1, True)
    ]


def test_item_of_another_message(family: Scene, stranger: Any) -> None:
    """An id that is another message's (or another database's) is not believed."""
    first = family.tasks.echo.delay(3, doc="doc-first")
    assert first.get(timeout=20) == 3
    header = {"papayya": {"id": family.item(first.id).id, "run": "r", "tenant": "acme"}}
    result = stranger.send_task(ECHO, args=[4], kwargs={"doc": "doc-other"}, headers=header)
    assert result.get(timeout=20) == 4
    assert [row[1:6] for row in family.rows(ITEM, key="doc-other")] == [
        ("doc-other", "acme", "r", "completed", 1)
    ]
    assert [row[4:6] for row in family.rows(ITEM, key="doc-first")] == [("completed", 1)]


@pytest.mark.parametrize(
    "header",
    [
        {"id": "1", "no": "x", "run": 5, "tenant": [], "parent": -1},
        {"id": True, "no": -1, "tenant": "a\0b", "item": "x" * 100_000},
        {"id": 2**70, "parent": 2**62, "run": ""},
        {"parent": 2**61},
        ["nonsense"],
        7,
    ],
)
def test_hostile_header(family: Scene, stranger: Any, header: Any) -> None:
    """A header that makes no sense does not keep a task from being done and counted."""
    key = f"doc-{uuid.uuid4()}"
    result = stranger.send_task(ECHO, args=[5], kwargs={"doc": key}, headers={"papayya": header})
    assert result.get(timeout=20) == 5
    assert [row[4] for row in family.rows(ITEM, key=key)] == ["completed"]


@pytest.mark.parametrize(
    "value", ["nul \0 byte", "lone \ud800 surrogate", "x" * 2_000_000, b"\0\xff"]
)
@pytest.mark.parametrize("captured", [True, False])
def test_odd_values(family: Scene, stranger: Any, value: Any, captured: bool) -> None:
    """Arguments and results that Postgres or JSON have trouble with come through unchanged."""
    key = f"doc-{uuid.uuid4()}"
    app = family.app if captured else stranger
    result = app.send_task(ECHO, args=[value], kwargs={"doc": key})
    assert result.get(timeout=20) == value
    assert [row[4] for row in family.rows(ITEM, key=key)] == ["completed"]


@pytest.mark.parametrize("captured", [True, False])
def test_pickle(family: Scene, stranger: Any, captured: bool) -> None:
    """What only pickle can carry comes through, and its message can be sent again."""
    key = f"doc-{uuid.uuid4()}"
    app = family.app if captured else stranger
    result = app.send_task(
        "naming_tasks.kind", args=[{1, 2}], kwargs={"doc": key}, serializer="pickle"
    )
    assert result.get(timeout=20) == "set"
    assert [row[6] for row in family.rows(ITEM, key=key)] == [True]


def test_round_trips(family: Scene) -> None:
    """An item costs its worker two round trips, and one more where something follows from it."""
    tasks = family.tasks
    with Proxy(family.servers.dsn) as proxy:
        env = {"PAPAYYA_DATABASE_URL": proxy.dsn, "PAPAYYA_HEARTBEAT": "off"}
        args = ["-Q", "counted"]
        worker = CeleryWorker(
            APP, family.folder, name="counted", pool="solo", concurrency=1, args=args, env=env
        )
        family.workers.append(worker)
        worker.start()
        to: dict[str, Any] = {"queue": "counted"}
        warm = chain(tasks.inc.s(0).set(**to), tasks.echo.s().set(**to)).apply_async()
        assert warm.get(timeout=20) == 1
        with proxy.counting() as trips:
            for n in range(3):
                assert tasks.echo.apply_async((n,), **to).get(timeout=20) == n
        assert trips.counts == {"open_v1": 3, "close_v1": 3}
        with proxy.counting() as trips:
            first = tasks.inc.s(0).set(**to)
            chain(first, tasks.inc.s().set(**to)).apply_async().get(timeout=20)
            worker.until(lambda: len(trips) >= 6, "the end was told")
        counts = trips.counts
        assert sum(count for name, count in counts.items() if name.startswith("publish")) == 1
        assert (counts["open_v1"], counts["close_v1"], counts["told_v1"]) == (2, 2, 1)
        worker.stop()
    family.workers.remove(worker)
