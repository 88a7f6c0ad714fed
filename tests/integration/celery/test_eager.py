"""Tasks that run in the caller's own process: task_always_eager and apply()."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import Ignore, Reject

import papayya
import papayya_celery
from papayya_core import runtime
from papayya_core.testing.databases import Databases
from tests.support.celery_modules import forgotten_tasks

ITEMS = """
SELECT i.agent, i.key, i.tenant, i.state::text, i.outcome::text, i.deliveries, p.agent
FROM papayya.item_now i JOIN papayya.item e ON e.id = i.id LEFT JOIN papayya.item_now p ON p.id = e.parent_id
WHERE i.run = %s ORDER BY i.id
"""


@pytest.fixture(scope="module")
def dsn(papayya_databases: Databases, papayya_template: str) -> Iterator[str]:
    """One database for all."""
    with papayya_databases.copy_of(papayya_template) as name:
        yield papayya_databases.dsn(name)


@pytest.fixture
def apps(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """The same tasks on two apps: bare, and with us."""
    monkeypatch.setenv("PAPAYYA_DATABASE_URL", dsn)
    runtime.reset()
    with forgotten_tasks():
        both = make_app(), make_app()
        papayya_celery.install(both[1], tenant="customer", item="doc")
        yield both
        for app in both:
            app.close()
    runtime.reset()


def make_app() -> Any:
    """Make an app whose tasks run where they are called."""
    app = Celery("eager", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(task_always_eager=True, task_store_eager_result=True)
    _simple(app, functools.partial(app.task, shared=False))
    _troubled(app, functools.partial(app.task, shared=False))
    return app


def _simple(app: Any, task: Any) -> None:
    @task(name="tag")
    def tag(doc: str, customer: str = "acme") -> str:
        return doc.upper()

    @task(name="inc")
    def inc(number: int) -> int:
        return number + 1

    @task(name="total")
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @task(name="nest")
    def nest(depth: int) -> int:
        return depth and 1 + int(
            app.tasks["nest"].delay(depth - 1).get(disable_sync_subtasks=False)
        )


def _troubled(app: Any, task: Any) -> None:
    @task(name="boom")
    def boom() -> None:
        raise ValueError("boom")

    @task(name="ignored")
    def ignored() -> None:
        raise Ignore("nothing to see")

    @task(name="rejected")
    def rejected() -> None:
        raise Reject("not for me")

    @task(name="again", bind=True, max_retries=5)
    def again(self: Any) -> list[int]:
        if self.request.retries < 2:
            raise self.retry(countdown=0)
        return [self.request.retries]

    @task(name="auto", bind=True, autoretry_for=(OSError,), max_retries=3, default_retry_delay=0)
    def auto(self: Any) -> str:
        if self.request.retries < 2:
            raise OSError("no network")
        return "at last"

    @task(name="gives_up", bind=True, max_retries=1)
    def gives_up(self: Any) -> None:
        raise self.retry(exc=OSError("no network"), countdown=0)

    @task(name="swap", bind=True)
    def swap(self: Any) -> Any:
        return self.replace(app.tasks["inc"].s(41))


CALLS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "delay": lambda t: t["tag"].delay("a"),
    "apply": lambda t: t["tag"].apply(("a",)),
    "boom": lambda t: t["boom"].delay(),
    "boom applied": lambda t: t["boom"].apply(),
    "ignored": lambda t: t["ignored"].delay(),
    "rejected": lambda t: t["rejected"].delay(),
    "again": lambda t: t["again"].delay(),
    "again applied": lambda t: t["again"].apply(),
    "auto": lambda t: t["auto"].delay(),
    "gives up": lambda t: t["gives_up"].delay(),
    "swap": lambda t: t["swap"].delay(),
    "nest": lambda t: t["nest"].delay(3),
    "chain": lambda t: chain(t["inc"].s(1), t["inc"].s(), t["inc"].s()).apply_async(),
    "group": lambda t: group(t["inc"].s(n) for n in range(3)).apply_async(),
    "chord": lambda t: chord([t["inc"].s(n) for n in range(3)], t["total"].s()).apply_async(),
    "link": lambda t: t["inc"].apply_async((1,), link=t["inc"].s()),
    "map": lambda t: t["inc"].map([1, 2]).apply_async(),
    "chunks": lambda t: t["inc"].chunks([(1,), (2,), (3,)], 2).apply_async(),
}


def seen(call: Callable[[dict[str, Any]], Any], app: Any) -> tuple[str, Any]:
    """Call, and say what the caller sees."""
    try:
        result = call(app.tasks)
        value = result.get(disable_sync_subtasks=False) if result.ready() else result.result
    except Exception as error:
        return "raised", repr(error)
    return getattr(result, "state", "group"), value


@pytest.mark.parametrize("name", CALLS)
def test_as_bare_celery(apps: tuple[Any, Any], name: str) -> None:
    """The caller of an eager task sees what bare Celery shows."""
    bare, ours = apps
    assert seen(CALLS[name], ours) == seen(CALLS[name], bare)


EXPECTED: dict[str, list[tuple[Any, ...]]] = {
    "delay": [("tag", "completed", "ok", 1, None)],
    "apply": [("tag", "completed", "ok", 1, None)],
    "boom": [("boom", "failed", "failed", 1, None)],
    "ignored": [("ignored", "completed", "degraded", 1, None)],
    "again": [("again", "completed", "ok", 1, None)],
    "auto": [("auto", "completed", "ok", 1, None)],
    "gives up": [("gives_up", "failed", "failed", 1, None)],
    "swap": [("swap", "failed", "failed", 1, None), ("inc", "completed", "ok", 1, "swap")],
    "chain": [("inc", "completed", "ok", 1, None)] * 3,
    "group": [("inc", "completed", "ok", 1, None)] * 3,
    "map": [("celery.map(inc)", "completed", "ok", 1, None)],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_items(apps: tuple[Any, Any], dsn: str, name: str) -> None:
    """An eager task is one item, with its retries, in the run of its caller."""
    run_id = f"eager {name}"
    with papayya.run("eager", run_id=run_id):
        seen(CALLS[name], apps[1])
    with psycopg.connect(dsn) as connection:
        found = connection.execute(ITEMS, [run_id]).fetchall()
    assert [(row[0], *row[3:]) for row in found] == EXPECTED[name]


@pytest.mark.parametrize("name", ["boom", "again", "gives up", "nest"])
def test_propagates(apps: tuple[Any, Any], dsn: str, name: str) -> None:
    """With task_eager_propagates the caller gets what bare Celery raises, and every item ends."""
    bare, ours = apps
    for app in apps:
        app.conf.task_eager_propagates = True
    with papayya.run("throws", run_id=f"throws {name}"):
        assert seen(CALLS[name], ours) == seen(CALLS[name], bare)
    with psycopg.connect(dsn) as connection:
        states = {row[3] for row in connection.execute(ITEMS, [f"throws {name}"])}
    assert states <= {"completed", "failed"}


def test_names(apps: tuple[Any, Any], dsn: str) -> None:
    """An eager task is named as any other, and what it calls is its child."""
    with papayya.run("eager", run_id="names"):
        apps[1].tasks["tag"].delay("d1", customer="globex")
        apps[1].tasks["nest"].delay(1)
    with psycopg.connect(dsn) as connection:
        tagged, outer, inner = connection.execute(ITEMS, ["names"]).fetchall()
    assert tagged[:3] == ("tag", "d1", "globex")
    assert (outer[0], inner[0], inner[6]) == ("nest", "nest", "nest")


def test_steps(apps: tuple[Any, Any], dsn: str) -> None:
    """A finished step of an eager task is not run again by its retry."""
    paid: list[int] = []

    @apps[1].task(name="stepwise", bind=True, max_retries=2)
    def stepwise(self: Any) -> int:
        papayya.run.task("pay", paid.append, 1)
        if not self.request.retries:
            raise self.retry(countdown=0)
        return len(paid)

    assert stepwise.delay().get() == 1
