"""Every shape of task is an item, once, whatever the task is made of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.integration.celery.scene import MakeScene, Scene
from tests.support.celery_worker import CeleryWorker

APP = Path(__file__).parent / "apps" / "shape_tasks.py"
SHAPES = {  # what it returns, and the bodies that note their run
    "early": ("early {0} in {0}", ["early"]),
    "plain": ("plain {0} in {0}", ["plain"]),
    "forgetful": ("forgetful {0} in {0}", ["forgetful"]),
    "calling": ("calling {0} in {0}", ["__call__", "calling"]),
    "running": ("running {0} in {0}", ["__call__", "running"]),
    "stubborn": ("paid {0} in {0}, 2 retries", ["paid"]),
    "shared": ("shared {0} in {0}", ["shared"]),
    "classy": ("classy {0} in {0}", ["classy"]),
    "late": ("late {0} in {0}", ["late"]),
    "direct": ("plain {0} in {0} by direct", ["plain"]),
    "recursive": ("> > recursive {0} in {0}", ["recursive"]),
    "untyped": ("untyped {0} in {0}", ["untyped"]),
}
ITEMS = """
SELECT i.agent, i.key, i.tenant, i.state::text, i.outcome::text, i.run, i.deliveries
FROM papayya.item_now i WHERE i.key = %(key)s OR i.agent LIKE %(key)s ORDER BY i.id
"""


@pytest.fixture(scope="module", params=["prefork", "threads"])
def shapes(request: pytest.FixtureRequest, make_scene: MakeScene) -> Iterator[Scene]:
    """The app and a worker."""
    with make_scene("shapes", module=APP) as made:
        worker = CeleryWorker(APP, made.folder, pool=request.param)
        made.workers.append(worker)
        worker.start()
        yield made


def bodies(scene: Scene, item: str) -> list[str]:
    """List what ran for an item."""
    return [line.split()[0] for line in scene.lines("bodies") if line.split()[1] == item]


@pytest.mark.parametrize("shape", SHAPES)
def test_shape_is_an_item(shapes: Scene, shape: str) -> None:
    """A task of this shape is one item with its own key and tenant, and returns what it did."""
    key, (answer, ran) = f"doc-{shape}", SHAPES[shape]
    kwargs = {"doc_id": key, "customer_id": "acme"}
    result = shapes.app.send_task(f"shape_tasks.{shape}", kwargs=kwargs)
    assert shapes.pumped(lambda: result.ready() and result.get(), shape) == answer.format(key)
    assert shapes.rows(ITEMS, key=key) == [
        (f"shape_tasks.{shape}", key, "acme", "completed", "ok", result.id, 1)
    ]
    assert bodies(shapes, key) == ran


def test_pydantic_models(shapes: Scene) -> None:
    """A task that takes and gives models gets and gives them; its item is named by an argument."""
    result = shapes.tasks.pydantic.delay({"id": "d"}, doc_id="doc-pydantic", customer_id="acme")
    assert result.get(timeout=20) == {"seen": "pydantic d in doc-pydantic", "pages": 1}
    [item] = shapes.rows(ITEMS, key="doc-pydantic")
    assert item[:5] == ("shape_tasks.pydantic", "doc-pydantic", "acme", "completed", "ok")


def test_retry_overtakes(shapes: Scene) -> None:
    """A retry that ends before Celery has noted RETRY is still seen to have succeeded."""
    result = shapes.tasks.overtaken.delay(doc_id="doc-overtaken", customer_id="acme")
    shapes.until(lambda: shapes.exists(shapes.tasks.SLOW), "RETRY is written over SUCCESS")
    shapes.until(lambda: result.state == "SUCCESS", "it is put right")
    assert result.get() == "overtaken doc-overtaken in doc-overtaken"


def test_unmatched_task(shapes: Scene) -> None:
    """A task that `only=` leaves out is no item, and runs as ever."""
    result = shapes.tasks.unmanaged.delay(doc_id="doc-apart", customer_id="acme")
    assert result.get(timeout=20) == "unmanaged doc-apart in None"
    assert shapes.rows(ITEMS, key="doc-apart") == []


def test_map_is_one_item(shapes: Scene) -> None:
    """A message of map() or starmap() is one item, its elements are plain calls."""
    doubled = shapes.tasks.double.map([1, 2, 3]).delay()
    added = shapes.tasks.add.starmap([(1, 2), (3, 4)]).delay()
    assert (doubled.get(timeout=20), added.get(timeout=20)) == ([2, 4, 6], [3, 7])
    for result, name in ((doubled, "map(shape_tasks.double)"), (added, "starmap(shape_tasks.add)")):
        assert shapes.rows(ITEMS, key=result.id) == [
            (f"celery.{name}", result.id, "unattributed", "completed", "ok", result.id, 1)
        ]
    assert shapes.rows(ITEMS, key="shape_tasks.double") == []


def test_chunks_are_items(shapes: Scene) -> None:
    """Each chunk of chunks() is one item, all of them in one run."""
    result = shapes.tasks.add.chunks([(n, n) for n in range(10)], 4).apply_async()
    assert result.get(timeout=20) == [[0, 2, 4, 6], [8, 10, 12, 14], [16, 18]]
    rows = [row for each in result.results for row in shapes.rows(ITEMS, key=each.id)]
    assert len(rows) == 3
    assert {(row.agent, row.state, row.run) for row in rows} == {
        ("celery.starmap(shape_tasks.add)", "completed", result.id)
    }


def test_direct_call_in_the_publisher(shapes: Scene) -> None:
    """A task that is called as a function is a function, and no item."""
    assert shapes.tasks.plain("doc-here", "acme") == "plain doc-here in None"
    assert shapes.rows(ITEMS, key="doc-here") == []


@pytest.mark.parametrize("shapes", ["prefork"], indirect=True)
@pytest.mark.parametrize("shape", ["frail", "delicate"])
def test_body_that_must_not_run_twice(shapes: Scene, shape: str) -> None:
    """A body that took its worker down is not run again where recover= or the task says so."""
    task, key = getattr(shapes.tasks, shape), f"doc-{shape}"
    result = task.delay(doc_id=key, customer_id="acme")
    error = shapes.pumped(lambda: result.ready() and result.get(propagate=False), "it has ended")
    assert (result.state, "deliveries without an end" in str(error)) == ("FAILURE", True)
    [item] = shapes.rows(ITEMS, key=key)
    assert item[3:5] == ("failed", "failed")
    assert bodies(shapes, key) == [shape]


def test_expired_message(shapes: Scene) -> None:
    """A message that Celery throws away because it has expired is a cancelled item."""
    past = datetime(2020, 1, 1, tzinfo=UTC)
    result = shapes.tasks.plain.apply_async(("doc-expired", "acme"), expires=past)
    shapes.until(lambda: result.state == "REVOKED", "it is thrown away")
    shapes.until(lambda: shapes.state(result.id) == "cancelled", "so is its item")
    assert shapes.item(result.id).reason == "its message has expired"
    assert shapes.rows("SELECT send_at FROM papayya.item WHERE key = 'doc-expired'") == [(None,)]
