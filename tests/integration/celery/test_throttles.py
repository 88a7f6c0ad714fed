"""A provider's 429, whatever a task makes of it: the item waits, and Celery counts no retry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.celery.pumping import pumping
from tests.integration.celery.scene import MakeScene, Scene

APP = Path(__file__).parent / "apps" / "throttled_tasks.py"
WAYS = ["plain", "automatic", "backing_off", "by_hand", "without_throwing", "own_call"]


@pytest.fixture(scope="module")
def stage(make_scene: MakeScene) -> Iterator[Scene]:
    """A scene where items wait at limits, with a pump that does not rest."""
    with make_scene("throttled", module=APP) as made:
        made.start()
        with pumping():
            yield made


@pytest.mark.parametrize("way", WAYS)
def test_no_retry_is_burnt(stage: Scene, way: str) -> None:
    """Five refusals with two retries allowed: it succeeds, and none of them was used."""
    result = getattr(stage.tasks, way).delay(name=way, refusals=5)
    assert result.get(timeout=20) == f"{way} after 0 retries"
    assert stage.lines(f"tries-{way}") == ["0"] * 6
    item = stage.item(result.id)
    assert (item.state, item.outcome, item.deliveries, item.dispatch_no) == (
        "completed",
        "ok",
        1,
        0,
    )


def test_other_arguments(stage: Scene) -> None:
    """A retry with other arguments keeps them, and is not counted either."""
    result = stage.tasks.otherwise.delay(name="other", refusals=5)
    assert result.get(timeout=20) == "small other after 0 retries"
    assert stage.lines("tries-other") == ["0"] * 6


def test_a_retry_that_was_burnt_stays_so(stage: Scene) -> None:
    """A refusal after Celery's own last retry waits as well, and leaves the count where it was."""
    (stage.folder / "tries-late").write_text("")
    result = stage.tasks.by_hand.apply_async(
        kwargs={"name": "late", "refusals": 4}, retries=2, task_id="late"
    )
    assert result.get(timeout=20) == "late after 2 retries"


def test_other_errors_are_celerys(stage: Scene) -> None:
    """An error that is no refusal is tried again as ever, and fails when the tries are used up."""
    saved = stage.tasks.flaky.delay(name="saved", refusals=2)
    lost = stage.tasks.flaky.delay(name="lost", refusals=5)
    assert saved.get(timeout=20) == "saved after 2 retries"
    with pytest.raises(OSError, match="lost is refused"):
        lost.get(timeout=20)
    assert stage.lines("tries-lost") == ["0", "1", "2"]


def test_eager_tasks_are_celerys(stage: Scene) -> None:
    """A task that was applied in place raises what it raises: nothing would bring it again."""
    found = stage.tasks.plain.apply(kwargs={"name": "eager", "refusals": 9})
    assert (found.state, type(found.result).__name__) == ("FAILURE", "RateLimitError")
    tried = stage.tasks.by_hand.apply(kwargs={"name": "eager again", "refusals": 2})
    assert tried.get() == "eager again after 2 retries"


def test_waits_as_long_as_asked(stage: Scene) -> None:
    """Who asks for a later time than the provider does waits until then, and shows it."""
    result = stage.tasks.later.delay(name="later", refusals=1)
    stage.until(lambda: stage.state(result.id) == "waiting", "it waits")
    assert result.state == "WAITING"
    item = stage.item(result.id)
    assert "RateLimitError" in item.reason
    [[seconds]] = stage.rows(
        "SELECT extract(epoch FROM due_at - papayya.now()) FROM papayya.item WHERE id = %(item)s",
        item=item.id,
    )
    assert 3000 < seconds <= 3600


def test_expiry(stage: Scene) -> None:
    """The time for which a message waited for a limit does not count for its expiry."""
    result = stage.tasks.later.apply_async(kwargs={"name": "lasts", "refusals": 1}, expires=2)
    stage.until(lambda: stage.state(result.id) == "waiting", "it waits")
    assert result.state == "WAITING"
    item = stage.item(result.id).id
    old = "SELECT 1 FROM papayya.item WHERE id = %(item)s AND created_at < now() - interval '3 s'"
    stage.until(lambda: stage.rows(old, item=item), "it has waited for longer than it may")
    stage.rows("UPDATE papayya.item SET due_at = papayya.now() WHERE id = %(item)s", item=item)
    assert result.get(timeout=20) == "lasts after 0 retries"
