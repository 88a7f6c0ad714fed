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

REFUSED = "refused once"
OTHERS = [f"{n}. side by side" for n in range(3)]


def request(say: str) -> dict[str, Any]:
    """Ask something."""
    return {**ASK, "messages": [{"role": "user", "content": say}]}


def on_a_loop(url: str) -> int:
    """Ask all at once, in tasks that end with the loop."""

    async def ask() -> int:
        async with shapes.agpt(url) as client:
            made = client.chat.completions.create
            return len(await asyncio.gather(*(made(**request(say)) for say in [*OTHERS, REFUSED])))

    return asyncio.run(ask())


def in_threads(url: str) -> int:
    """Ask all at once, in threads that nobody waits for when one fails."""
    pool = ThreadPoolExecutor(4)
    with shapes.gpt(url) as client:
        ask = bind(lambda say: client.chat.completions.create(**request(say)))
        refused = pool.submit(ask, REFUSED)
        others = [pool.submit(ask, say) for say in OTHERS]
        refused.result()
        return len([each.result() for each in others]) + 1


@pytest.mark.parametrize("ask", [on_a_loop, in_threads])
def test_answers_on_their_way(world: World, ask: Callable[[str], int]) -> None:
    """An item that comes upon a limit leaves with the answers that it has asked for beside."""
    world.script.start(throttle=True)
    params = {"retry_after": 3}
    world.stand_in.fail({"kind": "rate_limit", "match": REFUSED, "times": 1, "params": params})
    world.stand_in.fail({"kind": "slow", "match": "side by side", "params": {"seconds": 1}})

    @agent(name=ask.__name__)
    def body(item: int) -> int:
        return ask(world.url)

    with run(ask.__name__, run_id=ask.__name__):
        assert [one.output for one in body.map([1])] == [4]
    states = sorted(world.calls(ask.__name__))
    assert states == ["answered"] * 4 + ["failed"] + ["replayed"] * 3
