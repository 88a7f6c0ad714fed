"""Run, tenant and parent flow with the work, along every way in which a task starts another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
from celery import chain, chord, group

import papayya
from papayya_celery.apps import by_carrier
from papayya_celery.repair import fire_stuck_chords
from papayya_core.audit import audit
from papayya_core.runtime import runtime
from tests.integration.celery.scene import MakeScene, Scene
from tests.support.redis_server import RedisServer

APP = Path(__file__).parent / "apps" / "naming_tasks.py"
FAMILY = """
SELECT replace(a.name, 'naming_tasks.', '') AS agent, replace(pa.name, 'naming_tasks.', '') AS parent, t.name,
       i.state::text
FROM papayya.item i JOIN papayya.agent a ON a.id = i.agent_id JOIN papayya.tenant t ON t.id = i.tenant_id
JOIN papayya.run r ON r.id = i.run_id
LEFT JOIN papayya.item p ON p.id = i.parent_id LEFT JOIN papayya.agent pa ON pa.id = p.agent_id
WHERE r.name = %(run)s ORDER BY i.id
"""


def linked(first: Any, second: Any) -> Any:
    """Link a task to another one."""
    first.link(second)
    return first


Ways = dict[str, tuple[Callable[[ModuleType], Any], list[tuple[str, str | None]]]]
WAYS: Ways = {
    "nested": (lambda t: t.nest.s(2), [("nest", None), ("nest", "nest"), ("nest", "nest")]),
    "chain": (
        lambda t: chain(t.inc.s(1), t.echo.s(), t.inc.s()),
        [("inc", None), ("echo", "inc"), ("inc", "echo")],
    ),
    "group": (lambda t: group(t.inc.s(1), t.inc.s(2)), [("inc", None), ("inc", None)]),
    "chord": (
        lambda t: chord([t.inc.s(1), t.inc.s(2)], t.total.s()),
        [("inc", None), ("inc", None), ("total", "inc")],
    ),
    "retry": (lambda t: t.again.s(), [("again", None)]),
    "link": (lambda t: linked(t.inc.s(1), t.echo.s()), [("inc", None), ("echo", "inc")]),
    "replace": (lambda t: t.swap.s(), [("swap", None), ("inc", "swap")]),
    "chain of groups": (
        lambda t: chain(t.inc.s(1), group(t.inc.s(), t.inc.s()), t.total.s()),
        [("inc", None), ("inc", "inc"), ("inc", "inc"), ("total", "inc")],
    ),
}


@pytest.fixture(scope="module")
def family(make_scene: MakeScene) -> Iterator[Scene]:
    """The app and a worker."""
    with make_scene("naming", module=APP) as made:
        made.start()
        yield made


def ended(family: Scene, run: str, count: int) -> list[Any]:
    """Wait for the items of a run; return them."""

    def found() -> list[Any]:
        rows = family.rows(FAMILY, run=run)
        return rows if len(rows) == count and all(row[3] == "completed" for row in rows) else []

    return family.until(found, f"{count} items have completed")


def is_sealed_and_explained(family: Scene, run: str) -> bool:
    """Tell whether the audit has nothing to say about a run."""
    with psycopg.connect(family.servers.dsn, autocommit=True) as connection:
        report = audit(connection, run)
    return bool(report.explained and report.sealed and not report.dropped)


@pytest.mark.parametrize("way", WAYS)
def test_context_flows(family: Scene, way: str) -> None:
    """What a task of a named run starts belongs to its run and tenant, and knows its parent."""
    build, expected = WAYS[way]
    run_id = f"named-{way}"
    with papayya.run("named", tenant="acme", run_id=run_id):
        build(family.tasks).apply_async()
    rows = ended(family, run_id, len(expected))
    assert [row[:2] for row in rows] == expected
    assert {row[2] for row in rows} == {"acme"}
    assert is_sealed_and_explained(family, run_id)


@pytest.mark.parametrize("way", WAYS)
def test_implicit_run(family: Scene, way: str) -> None:
    """Without a named run, what one call started is one run: that of its root, or of its group."""
    build, expected = WAYS[way]
    result = build(family.tasks).apply_async()
    if way == "group":
        run_id = result.id
    else:
        while result.parent is not None:
            result = result.parent
        run_id = result.id
    rows = ended(family, run_id, len(expected))
    assert [row[:2] for row in rows] == expected
    assert is_sealed_and_explained(family, run_id)


def test_flushed_chord(family: Scene, redis_server: RedisServer) -> None:
    """The callback of a chord that Redis has forgotten belongs to the run and tenant of its parts."""
    with papayya.run("named", tenant="acme", run_id="flushed"):
        family.pause(run="flushed")
        chord([family.tasks.inc.s(1), family.tasks.inc.s(2)], family.tasks.total.s()).apply_async()
    paused = "SELECT id FROM papayya.item_now WHERE run = 'flushed' AND state = 'paused'"
    family.until(lambda: len(family.rows(paused)) == 2, "both parts are parked")
    redis_server.flushall()
    family.resume(run="flushed")
    ended(family, "flushed", 2)
    stuck = partial(fire_stuck_chords, runtime().engine().store, list(by_carrier()), 0.0, None)
    family.until(stuck, "the chord is completed")
    rows = ended(family, "flushed", 3)
    assert [row[:3] for row in rows][2] == ("total", "inc", "acme")


def test_errback(family: Scene) -> None:
    """What a failure starts belongs to the run and tenant of what failed."""
    errback = family.tasks.on_error.s()
    with papayya.run("named", tenant="acme", run_id="errback"):
        family.tasks.boom.s().on_error(errback).apply_async()
    rows = family.until(lambda: family.rows(FAMILY, run="errback"), "it has begun")
    family.until(lambda: family.rows(FAMILY, run="errback")[0][3] == "failed", "it has failed")
    assert rows[0][:3] == ("boom", None, "acme")


def test_own_tenant_wins(family: Scene) -> None:
    """A task that says by its arguments for whom it is does not inherit that."""
    with papayya.run("named", tenant="acme", run_id="own"):
        chain(family.tasks.inc.s(1), family.tasks.echo.s(tenant="globex")).apply_async()
    assert [row[2] for row in ended(family, "own", 2)] == ["acme", "globex"]
