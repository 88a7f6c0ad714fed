"""What the way of an item costs in round trips to Postgres; start-up is not counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from papayya import agent, run, runs
from papayya.crew import CHUNK
from papayya.intake import Intake
from papayya_core.testing.roundtrips import Proxy
from tests.integration.plain.script import Script, scripted

STEPS = 3


def double(x: int) -> int:
    return 2 * x


async def adouble(x: int) -> int:
    return 2 * x


@agent
def tag(item: int) -> int:
    return sum(run.task("double", double, item + k) for k in range(STEPS))


@agent
async def atag(item: int) -> int:
    return sum([await run.task("double", adouble, item + k) for k in range(STEPS)])


@pytest.fixture
def proxy(papayya_database: str) -> Iterator[Proxy]:
    """The way to the test's database through a counter."""
    with Proxy(papayya_database) as made:
        yield made


@pytest.fixture
def counted(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """A process that reaches its database through the counter, by one connection."""
    monkeypatch.delenv("PAPAYYA_DATABASE_URL")
    with scripted(proxy.dsn) as made:
        made.start(pool_size=1)
        yield made


def test_bare_calls(counted: Script, proxy: Proxy) -> None:
    """A bare call with N steps costs N + 2 round trips: enter, N checkpoints, close."""
    tag(1)
    with proxy.counting() as trips:
        tag(2)
    assert trips.counts == {"enter_v1": 1, "checkpoint_one_v1": STEPS, "close_v1": 1}

    async def work() -> dict[str, int]:
        await atag(1)
        with proxy.counting() as async_trips:
            await atag(2)
        return async_trips.counts

    assert asyncio.run(work()) == {"enter_v1": 1, "checkpoint_one_v1": STEPS, "close_v1": 1}


def test_map(counted: Script, proxy: Proxy) -> None:
    """A map of M items with N steps costs M * (N + 2), a capture per 1,000, and run and seal."""
    list(tag.map([1], concurrency=1))
    with proxy.counting() as trips:
        assert len(list(tag.map(range(2, 52), concurrency=4))) == 50
    counts = dict(trips.counts)
    together = counts.pop("checkpoint_v1", 0)  # concurrent ones share a statement
    assert counts.pop("checkpoint_one_v1", 0) + together <= 50 * STEPS
    per_item = {"open_v1": 50, "close_v1": 50}
    sealed = {name: 1 for name in trips.counts if name.startswith("UPDATE papayya.run SET sealed")}
    assert counts == {"start_run_v1": 1, "capture_v1": 1, **per_item, **sealed}
    assert len(sealed) == 1

    with proxy.counting() as trips:
        assert len(list(tag.map(range(100, 102), concurrency=1))) == 2
    assert trips.counts["checkpoint_one_v1"] == 2 * STEPS


def test_captures(counted: Script, proxy: Proxy) -> None:
    """A capture takes a thousand inputs in one round trip."""
    here = counted.start(pool_size=1)
    ref = here.register(tag.definition)
    with run("large"):
        current = runs.named_run()
        assert current is not None
        intake = Intake(here, here.engine(), "tag", ref, current, None, None)
        with proxy.counting() as trips:
            for start in range(0, 2001, CHUNK):
                intake.take(range(start, min(start + CHUNK, 2001)))
    assert trips.counts == {"capture_v1": 3}
    assert counted.column("SELECT count FROM papayya.intake ORDER BY id") == [1000, 1000, 1]


def test_resume(counted: Script, proxy: Proxy) -> None:
    """Finished steps cost nothing on resume: the item costs its enter and its close."""
    interrupted = [True]

    @agent
    def fragile(item: int) -> int:
        total: int = sum(run.task("double", double, item + k) for k in range(STEPS))
        if interrupted[0]:
            raise KeyboardInterrupt
        return total

    with pytest.raises(KeyboardInterrupt):
        fragile(1)
    interrupted[0] = False
    here = counted.start(pool_size=1, run_id=counted.run())
    runs.ambient().run("fragile")
    here.register(fragile.definition)
    with proxy.counting() as trips:
        assert fragile(1) == 12
    assert trips.counts == {"enter_v1": 1, "close_v1": 1}


def test_run_again(counted: Script, proxy: Proxy) -> None:
    """A run whose items have all ended costs captures and pages of results, nothing per item."""
    first = sorted(result.output for result in tag.map(range(450), concurrency=4))
    counted.start(pool_size=1, run_id=counted.run())
    with proxy.counting() as trips:
        assert sorted(result.output for result in tag.map(range(450))) == first
    counts = {name.split()[0]: count for name, count in trips.counts.items()}
    pages = 3  # of 200 results
    assert counts == {
        "register_agent_v1": 1,
        "start_run_v1": 1,
        "capture_v1": 1,
        "SELECT": pages,
        "UPDATE": 1,  # sealed
    }
