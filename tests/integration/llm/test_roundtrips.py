"""What a call costs in round trips to Postgres; start-up is not counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import openai
import pytest

from papayya import agent, run
from papayya_core.testing.roundtrips import Proxy
from tests.integration.llm.world import GPT, StandIn, World
from tests.integration.plain.script import scripted

CALLS = 3
STARTS = {"start_run_v1", "register_agent_v1"}
ENDS = {"enter_v1": 1, "close_v1": 1}


@pytest.fixture
def proxy(papayya_database: str) -> Iterator[Proxy]:
    """The way to the test's database through a counter."""
    with Proxy(papayya_database) as made:
        yield made


@pytest.fixture
def counted(proxy: Proxy, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A process that reaches its database through the counter, by one connection."""
    monkeypatch.delenv("PAPAYYA_DATABASE_URL")
    with scripted(proxy.dsn) as script:
        script.start(pool_size=1)
        made = World(script, stand_in)
        made.once(lambda: ask(made, 0))
        made.aonce(lambda: aask(made, 0))
        yield made


def ask(world: World, *numbers: int) -> None:
    """Ask once for each number."""
    with openai.OpenAI(base_url=f"{world.url}/v1", api_key="sk-x") as client:
        for number in numbers:
            client.chat.completions.create(
                model=GPT, messages=[{"role": "user", "content": f"Say {number}."}]
            )


async def aask(world: World, *numbers: int) -> None:
    """Ask once for each number, on an event loop."""
    async with openai.AsyncOpenAI(base_url=f"{world.url}/v1", api_key="sk-x") as client:
        for number in numbers:
            await client.chat.completions.create(
                model=GPT, messages=[{"role": "user", "content": f"Say {number}."}]
            )


def test_call(counted: World, proxy: Proxy) -> None:
    """A call costs two round trips: one before it is sent, one before its answer is seen."""
    with proxy.counting() as trips:
        counted.once(lambda: ask(counted, *range(CALLS)))
    assert [name for name in trips.named if name in ("hold_v1", "settle_v1")] == [
        "hold_v1",
        "settle_v1",
    ] * CALLS
    assert without_start(trips.counts) == {**ENDS, "hold_v1": CALLS, "settle_v1": CALLS}


def test_async_call(counted: World, proxy: Proxy) -> None:
    """On an event loop it costs the same."""

    async def work() -> dict[str, int]:
        @agent
        async def body(item: int) -> None:
            await aask(counted, *range(CALLS))

        await body(0)
        with proxy.counting() as trips:
            await body(1)
        return trips.counts

    assert asyncio.run(work()) == {**ENDS, "hold_v1": CALLS, "settle_v1": CALLS}


def test_replay(counted: World, proxy: Proxy) -> None:
    """An answer of the journal costs one round trip."""
    with proxy.counting() as trips:
        counted.twice(lambda: ask(counted, *range(CALLS)))
    assert trips.counts["hold_v1"] == 2 * CALLS
    assert trips.counts["settle_v1"] == CALLS


def test_step(counted: World, proxy: Proxy) -> None:
    """A call makes a step, which is one round trip, cost three."""

    def body() -> None:
        for n in range(CALLS):
            run.task("ask", ask, counted, n)

    with proxy.counting() as trips:
        counted.once(body)
    steps = {"checkpoint_one_v1": CALLS, "hold_v1": CALLS, "settle_v1": CALLS}
    assert without_start(trips.counts) == {**ENDS, **steps}


def test_loop_in_task(counted: World, proxy: Proxy) -> None:
    """A loop that runs in a task for a call costs the same, and opens no connection."""

    def body() -> None:
        for n in range(CALLS):
            asyncio.run(aask(counted, n))

    with proxy.counting() as trips:
        counted.once(body)
    assert without_start(trips.counts) == {**ENDS, "hold_v1": CALLS, "settle_v1": CALLS}
    assert not trips.preparations  # as the first statements of a connection would need


def without_start(counts: dict[str, int]) -> dict[str, int]:
    """Leave out that a run and an agent are made known."""
    return {name: count for name, count in counts.items() if name not in STARTS}
