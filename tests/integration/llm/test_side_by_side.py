"""Calls side by side in one item, one of which is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from papayya import agent, bind, run
from tests.integration.llm import shapes
from tests.integration.llm.shapes import ASK
from tests.integration.llm.world import World
from tests.support.processes import until

REFUSED = "refused once"
OTHERS = [f"{n}. side by side" for n in range(3)]


def request(say: str) -> dict[str, Any]:
    """Ask something."""
    return {**ASK, "messages": [{"role": "user", "content": say}]}


def on_a_loop(url: str, others_held: Callable[[], None]) -> int:
    """Ask all at once, in tasks that end with the loop."""

    async def ask() -> int:
        async with shapes.agpt(url) as client:
            made = client.chat.completions.create

            async def refused() -> Any:
                await asyncio.to_thread(others_held)
                return await made(**request(REFUSED))

            others = [made(**request(say)) for say in OTHERS]
            return len(await asyncio.gather(*others, refused()))

    return asyncio.run(ask())


def in_threads(url: str, others_held: Callable[[], None]) -> int:
    """Ask all at once, in threads that nobody waits for when one fails."""
    pool = ThreadPoolExecutor(4)
    with shapes.gpt(url) as client:
        ask = bind(lambda say: client.chat.completions.create(**request(say)))
        others = [pool.submit(ask, say) for say in OTHERS]
        others_held()
        pool.submit(ask, REFUSED).result()
        return len([each.result() for each in others]) + 1


@pytest.mark.parametrize("ask", [on_a_loop, in_threads])
def test_answers_on_their_way(world: World, ask: Callable[[str, Callable[[], None]], int]) -> None:
    """An item that comes upon a limit leaves with the answers that it has asked for beside."""
    world.script.start(throttle=True)
    params = {"retry_after": 3}
    world.stand_in.fail({"kind": "rate_limit", "match": REFUSED, "times": 1, "params": params})
    world.stand_in.fail({"kind": "slow", "match": "side by side", "params": {"seconds": 1}})

    def others_held() -> None:
        until(lambda: len(world.calls(ask.__name__)) >= len(OTHERS), "the others are held")

    @agent(name=ask.__name__)
    def body(item: int) -> int:
        return ask(world.url, others_held)

    with run(ask.__name__, run_id=ask.__name__):
        assert [one.output for one in body.map([1])] == [4]
    states = sorted(world.calls(ask.__name__))
    assert states == ["answered"] * 4 + ["failed"] + ["replayed"] * 3
