"""What a map does about items that wait for a rate limit."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from papayya import agent, run
from papayya.crew import CHUNK, Crew
from papayya.submissions import Job
from papayya_core.errors import Throttled
from tests.integration.plain.script import Script

WAITS = "SELECT id FROM papayya.item WHERE state = 'waiting'"
ACTS = {
    "the run is killed": ("SELECT papayya.cancel_v1('waits', NULL, 'killed')", "cancelled"),
    "items are paused": (
        "SELECT papayya.pause_v1(NULL, NULL, array_agg(id)) FROM papayya.item",
        "paused",
    ),
    "the run is paused": ("SELECT papayya.pause_v1('waits', NULL, NULL)", "paused"),
    "the tenant is paused": ("SELECT papayya.pause_v1(NULL, 'unattributed', NULL)", "paused"),
    "the run drains": ("UPDATE papayya.run SET draining = true", "queued"),
}


def full(script: Script) -> int:
    """Make a limit that lets nobody in for an hour."""
    script.change("SELECT papayya.set_limit_v1(provider => 'openai', requests => 1)")
    script.change("UPDATE papayya.rate SET requests_at = papayya.now() + interval '1 hour'")
    return int(script.one("SELECT id FROM papayya.rate"))


@pytest.mark.parametrize("what", ACTS)
def test_ended_while_it_waits(script: Script, what: str) -> None:
    """A map hears at once when what waits for a limit is killed, or is not to be begun."""
    act_of, state = ACTS[what]
    rate, ended = full(script), threading.Event()

    @agent
    def work(n: int) -> None:
        raise Throttled("throttled: over the line", 600, rate, 10)

    def act() -> None:
        deadline = time.monotonic() + 20
        while not script.rows(WAITS) and time.monotonic() < deadline:
            ended.wait(0.02)
        script.change(act_of)

    acting = threading.Thread(target=act)
    acting.start()
    with run("waits", run_id="waits"):
        assert [one.state for one in work.map([1])] == [state]
    ended.set()
    acting.join()


def test_a_stream_is_not_read_on_and_on() -> None:
    """Of a stream no more is read while a thousand items of a tenant stand behind its limit."""
    crew = Crew(Any, 1)  # type: ignore[arg-type]
    jobs = [Job(-n, "acme", str(n), 1, (), {}) for n in range(1, 100 + CHUNK)]
    for job in jobs[:99]:
        crew.add_later(job, 600)
    assert crew.is_short(8)
    for job in jobs[99:]:
        assert crew.is_short(8)
        crew.add(job)
    assert not crew.is_short(8)
    crew.dismiss()


def in_a_loop(work: Any) -> str:
    """Leave a map of coroutines after its first result."""

    async def first() -> str:
        results = work.amap(range(5), concurrency=5)
        state = (await anext(results)).state
        await results.aclose()
        return str(state)

    return asyncio.run(first())


def in_threads(work: Any) -> str:
    """Leave a map of threads after its first result."""
    results = iter(work.map(range(5), concurrency=5))
    state = next(results).state
    results.close()
    return str(state)


@pytest.mark.parametrize("way", [in_threads, in_a_loop])
def test_left(script: Script, way: Any) -> None:
    """Items of a map that was left wait for no limit: let in, they would take the place of others."""
    rate = full(script)

    def throttle(n: int) -> int:
        if n:
            raise Throttled("throttled: over the line", 600, rate, 10)
        deadline = time.monotonic() + 20
        while len(script.rows(WAITS)) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        return n

    async def athrottle(n: int) -> int:
        return await asyncio.to_thread(throttle, n)

    work = agent(name="work")(throttle if way is in_threads else athrottle)
    with run("left", run_id="left"):
        assert way(work) == "completed"
    assert script.rows(WAITS) == []
    assert sorted(script.states().values()) == ["completed"] + ["queued"] * 4
