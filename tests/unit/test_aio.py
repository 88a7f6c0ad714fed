"""Where asynchronous code waits for what must not be left in the middle."""

from __future__ import annotations

import asyncio

from papayya_core import aio


def test_a_claim_that_is_cancelled_again() -> None:
    """What was claimed is given back, however often its caller is cancelled meanwhile."""

    async def scene() -> tuple[list[str], bool]:
        asked, answer, back = asyncio.Event(), asyncio.Event(), asyncio.Event()
        given: list[str] = []

        async def claim() -> str:
            asked.set()
            await answer.wait()
            return "it"

        async def give_back(what: str) -> None:
            given.append(what)
            back.set()

        caller = asyncio.ensure_future(aio.claim(claim, give_back))
        await asked.wait()
        while not caller.done():
            caller.cancel()
            await asyncio.sleep(0)
        answer.set()
        await back.wait()
        return given, caller.cancelled()

    assert asyncio.run(asyncio.wait_for(scene(), 20)) == (["it"], True)


def test_a_write_at_the_end_of_a_loop() -> None:
    """What ``asyncio.run`` cancels together with its caller is written all the same."""
    written: list[str] = []
    under_way = asyncio.Event()

    async def write() -> None:
        again = under_way.is_set()
        under_way.set()
        if not again:
            await asyncio.Event().wait()
        written.append("it")

    async def scene() -> asyncio.Task[None]:
        left = asyncio.create_task(aio.finish(write))
        await under_way.wait()
        return left

    assert asyncio.run(scene()).cancelled()
    assert written == ["it"]


def test_a_claim_at_the_end_of_a_loop() -> None:
    """What was claimed then is given back."""
    given: list[str] = []
    under_way = asyncio.Event()

    async def claim() -> str:
        again = under_way.is_set()
        under_way.set()
        if not again:
            await asyncio.Event().wait()
        return "it"

    async def give_back(what: str) -> None:
        given.append(what)

    async def scene() -> asyncio.Task[str]:
        left = asyncio.create_task(aio.claim(claim, give_back))
        await under_way.wait()
        return left

    assert asyncio.run(scene()).cancelled()
    assert given == ["it"]
