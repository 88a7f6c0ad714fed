"""Workers are killed in the middle of bodies: alone, in chains, in chords and in their callbacks."""

from __future__ import annotations

import os
import signal

import pytest
from celery import chain, chord

from tests.acceptance.celery.arena import Arena

BROKERS = pytest.mark.parametrize("broker", ["redis", "rabbitmq"], indirect=True, scope="module")


@BROKERS
@pytest.mark.parametrize("how", ["child", "parent", "orphans"])
def test_killed_in_the_body(fire: Arena, how: str) -> None:
    """What was paid is not paid again, and chains and chords end with the right results, once."""
    work, gather = fire.app.work, fire.app.gather
    alone, c1, c2, c3 = fire.fresh("alone", "c1-", "c2-", "c3-")
    headers, parts = fire.fresh("h1-", "h2-", "h3-"), fire.fresh("p1-", "p2-")
    h_body, p_body = fire.fresh("hb", "pb")
    victims = [p_body, c2, headers[1], alone]
    fire.hold("body", *victims)
    results, held = [], []
    for canvas, victim in (
        (chord([work.si(name=name) for name in parts], gather.s(name=p_body)), p_body),
        (chain(work.si(name=c1), work.si(name=c2), work.si(name=c3)), c2),
        (chord([work.si(name=name) for name in headers], gather.s(name=h_body)), headers[1]),
        (work.si(name=alone), alone),
    ):
        results.append(canvas.apply_async())
        held.append(fire.held("body", victim))
    kill(fire, how, held)
    fire.go("body", *victims)
    if how != "child":
        fire.worker.start()
    assert [fire.result(one) for one in results] == [parts, c3, headers, alone]
    works = [alone, c1, c2, c3, *headers, *parts]
    fire.settle()
    once = {f"{name} {label}": 1 for name in works for label in ("first", "second")}
    assert fire.paid(*works, h_body, p_body) == once | {
        f"{h_body} gather": 1,
        f"{p_body} gather": 1,
    }
    assert all(one.successful() for one in results)


def kill(fire: Arena, how: str, held: list[int]) -> None:
    """Kill the children that are held, or their parent, with its children or without."""
    assert set(held) <= set(fire.worker.children)
    if how == "child":
        for pid in held:
            os.kill(pid, signal.SIGKILL)
    else:
        fire.worker.kill_parent(orphans=how == "orphans")
