"""A budget that is used up in the middle of a canvas: it waits, and ends right when there is more."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from celery import chain, chord, group
from celery.exceptions import TaskRevokedError

import papayya
from tests.acceptance.celery.arena import Arena

BROKERS = pytest.mark.parametrize("broker", ["redis", "rabbitmq"], indirect=True, scope="module")
SPENT = "SELECT coalesce(sum(spent), 0) FROM papayya.budget_now WHERE agent = 'fire.buy'"
SET = "SELECT papayya.set_budget_v1(agent => 'fire.buy', usd => %s)"
ONE_DELIVERY = """
SELECT count(*) FROM papayya.item WHERE key = ANY (%s) AND deliveries = 1 AND dispatch_no = 0 AND outcome = 'ok'
"""
CANCEL = "SELECT papayya.cancel_v1(%s, NULL, 'nobody wants it')"


def allow(fire: Arena, cents: int) -> None:
    """Leave so many cents to be spent from now on."""
    [[spent]] = fire.query(SPENT)
    fire.query(SET, Decimal(int(spent)) / 10**9 + Decimal(cents) / 100)


def is_parked(fire: Arena, names: list[str], results: list[Any], count: int) -> bool:
    """Tell whether so many are parked, by the books and by Celery, and all others have ended."""
    states = sorted(result.state for result in results)
    shown = ["PAUSED"] * count + ["SUCCESS"] * (len(names) - count)
    return fire.count(names, "paused") == count and states == shown


def held(fire: Arena, names: list[str]) -> int:
    """Count those of these that have bought, and are held in their body."""
    return sum(any(fire.folder.glob(f"held-body-{name}.*")) for name in names)


def launch(fire: Arena, count: int) -> tuple[list[str], str, Any]:
    """Apply a chord."""
    names, body = [fire.fresh("member") for _ in range(count)], fire.fresh("body")
    header = [fire.app.buy.si(name=name) for name in names]
    return names, body, chord(header, fire.app.gather.s(name=body)).apply_async()


@BROKERS
def test_chord(fire: Arena) -> None:
    """Of a hundred, thirty park; with more money the callback runs once, with all in order."""
    allow(fire, 70)
    names, body, result = launch(fire, 100)
    parts = result.parent.results
    fire.until(lambda: is_parked(fire, names, parts, 30), "thirty are parked", 60)
    assert (result.state, sum(fire.paid(*names).values())) == ("PENDING", 70)
    allow(fire, 30)
    assert fire.result(result) == names
    fire.settle()
    once = {f"{name} buy": 1 for name in names}
    assert fire.paid(*names, body) == once | {f"{body} gather": 1}
    assert fire.query(ONE_DELIVERY, names) == [(100,)]


@BROKERS
def test_chord_whose_worker_dies(fire: Arena) -> None:
    """The same when the worker is killed while they are parked, and others hold their last step."""
    allow(fire, 14)
    names, body, result = launch(fire, 20)
    parts = result.parent.results
    fire.until(lambda: is_parked(fire, names, parts, 6), "six are parked", 60)
    parked = [name for name in names if fire.item(name)["state"] == "paused"]
    fire.hold("body", *parked)
    allow(fire, 6)
    fire.until(lambda: held(fire, parked) == 4, "every child has one of them")
    fire.worker.kill_parent()
    fire.go("body", *parked)
    fire.worker.start()
    assert fire.result(result) == names
    fire.settle()
    once = {f"{name} buy": 1 for name in names}
    assert fire.paid(*names, body) == once | {f"{body} gather": 1}


@BROKERS
def test_group_and_chain(fire: Arena) -> None:
    """A group is not ready, and a chain does not go on, before their items have gone on."""
    allow(fire, 2)
    names = [fire.fresh("member") for _ in range(4)]
    together: Any = group(fire.app.buy.si(name=name) for name in names).apply_async()
    fire.until(lambda: is_parked(fire, names, together.results, 2), "two are parked", 60)
    step, follower = fire.fresh("step", "follower")
    last: Any = chain(fire.app.buy.si(name=step), fire.app.echo.s(name=follower)).apply_async()
    fire.until(lambda: last.parent.state == "PAUSED", "the chain is parked")
    assert not together.ready()
    assert last.state == "PENDING"
    allow(fire, 3)
    assert together.get(timeout=45) == names
    assert fire.result(last) == step
    fire.settle()
    assert fire.paid(follower) == {f"{follower} echo": 1}


@BROKERS
def test_killed_run(fire: Arena) -> None:
    """Of a run that is killed, what is parked, queued and at work ends as revoked, and stays so."""
    allow(fire, 0)
    working = [fire.fresh("working") for _ in range(4)]
    fire.hold("body", *working)
    with papayya.run("doomed") as doomed:
        parked = fire.app.buy.delay(name=fire.fresh("parked"))
        fire.until(lambda: parked.state == "PAUSED", "it is parked")
        busy = [fire.app.work.delay(name=name) for name in working]
        for name in working:
            fire.held("body", name)
        queued = fire.app.light.delay(name=fire.fresh("queued"))
    fire.query(CANCEL, doomed.id)
    fire.go("body", *working)
    for result in (parked, queued, *busy):
        with pytest.raises(TaskRevokedError):
            result.get(timeout=45)
    fire.settle()
    assert {fire.item(name)["state"] for name in working} == {"cancelled"}
    assert set(fire.paid(*working).values()) == {1}
