"""Processes die between two lines of Celery's or our own: nothing is lost, nothing done twice."""

from __future__ import annotations

import signal
from collections import Counter

import pytest
from celery import chain, chord

from tests.acceptance.celery.arena import Arena

BROKERS = pytest.mark.parametrize("broker", ["redis", "rabbitmq"], indirect=True, scope="module")
REDIS = pytest.mark.parametrize("broker", ["redis"], indirect=True, scope="module")
CRASHES = {
    "closed": "the item has ended, and nothing that follows was begun",
    "captured": "what follows is in Postgres, and the broker has not seen it",
    "sent": "what follows was sent, and the result was not stored",
    "untold": "Celery knows the end, and Postgres does not know that it does",
    "told": "all is done but the acknowledgement",
}


class Flow:
    """A task with a link, a chain and a chord, one task of each of which dies at a place."""

    def __init__(self, fire: Arena, place: str) -> None:
        work, gather, echo = fire.app.work, fire.app.gather, fire.app.echo
        self.alone, self.link, c1, c2, c3 = fire.fresh("alone", "link", "c1-", "c2-", "c3-")
        self.header, self.body = fire.fresh("h1-", "h2-"), fire.fresh("body")
        self.works = [self.alone, c1, c2, c3, *self.header]
        follows = {self.link: self.alone, c3: c2, self.body: self.header[0]}
        self.place = place
        self.deaths = list(follows if place in ("captured", "sent") else follows.values())
        self.right = [self.alone, c3, self.header]
        fire.die(place, *self.deaths)
        header = [work.si(name=name) for name in self.header]
        self.results = [
            work.apply_async(kwargs={"name": self.alone}, link=echo.s(name=self.link)),
            chain(work.si(name=c1), work.si(name=c2), work.si(name=c3)).apply_async(),
            chord(header, gather.s(name=self.body)).apply_async(),
        ]

    def payments(self) -> Counter[str]:
        """Return what is to be paid, once each."""
        once = [f"{name} {label}" for name in self.works for label in ("first", "second")]
        return Counter([*once, f"{self.link} echo", f"{self.body} gather"])


@BROKERS
def test_crash_after_the_body(fire: Arena) -> None:
    """Wherever a worker dies once the body has ended, all that follows is done, and once."""
    flows = [Flow(fire, place) for place in CRASHES]
    for flow in flows:
        assert [fire.result(one) for one in flow.results] == flow.right
        fire.until(lambda link=flow.link: fire.paid(link), "the link has run")  # type: ignore[misc]
    fire.settle()
    for flow in flows:
        assert all(fire.has_died(flow.place, name) for name in flow.deaths)
        assert fire.paid(*flow.works, flow.link, flow.body) == flow.payments()


@REDIS
@pytest.mark.parametrize("place", ["handed", "sent"])
def test_crash_in_a_retry(fire: Arena, place: str) -> None:
    """A retry is neither lost nor doubled when its worker dies before or after it is sent."""
    alone, member, other, body = fire.fresh("alone", "member", "other", "body")
    again, gather = fire.app.again, fire.app.gather
    fire.hold("body", body)
    results = [
        again.delay(name=alone),
        chord([again.si(name=member), again.si(name=other)], gather.s(name=body)).apply_async(),
    ]
    fire.die(place, alone, member)
    fire.go("body", body)
    assert [fire.result(one) for one in results] == [alone, [member, other]]
    fire.settle()
    names = [alone, member, other]
    once = {f"{name} {label}": 1 for name in names for label in ("first", "second")}
    assert fire.paid(*names, body) == once | {f"{body} gather": 1}


@REDIS
@pytest.mark.parametrize("place", ["captured", "sent"])
def test_publisher_killed(fire: Arena, place: str) -> None:
    """A message is not lost whose publisher died once Postgres had it."""
    alone, c1, c2 = fire.fresh("alone", "c1-", "c2-")
    fire.die(place, alone, c1)
    codes = [
        f"work.delay(name='{alone}')",
        f"(work.si(name='{c1}') | work.si(name='{c2}')).delay()",
    ]
    for code in codes:
        assert fire.publish_apart(code) == -signal.SIGKILL
    fire.until(lambda: sum(fire.paid(alone, c2).values()) == 4, "all has run")
    fire.settle()
    assert set(fire.paid(alone, c1, c2).values()) == {1}
