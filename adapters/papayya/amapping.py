"""``agent.amap``: items side by side in tasks of one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Coroutine,
    Generator,
    Iterable,
    Sized,
)
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from papayya import items as threaded
from papayya import limits, off, runs
from papayya.crew import AHEAD, CHUNK
from papayya.intake_async import AsyncIntake
from papayya.items_async import AsyncItems
from papayya.mapping import run_of_map
from papayya.say import say_parked, say_stopped
from papayya.submissions import Pick
from papayya.tasks import Attempt, Tasks
from papayya_core.contract import ItemResult
from papayya_core.runtime import runtime

if TYPE_CHECKING:
    from papayya.agents import AgentFunction
    from papayya.unread import Reading
    from papayya_core.contract import AgentRef, Run
    from papayya_core.engine_async import AsyncEngine
    from papayya_core.runtime import Runtime


async def amap_items(
    agent: AgentFunction[Any, Any],
    items: Iterable[Any] | AsyncIterable[Any],
    tenant: Any,
    item: Pick,
    concurrency: int,
    reading: Reading,
) -> AsyncGenerator[ItemResult, None]:
    """Run the agent over items in tasks; see AgentFunction.amap."""
    here = runtime()
    if here.settings.mode == "off":
        async with aclosing(off.amap_items(agent, items, tenant, item, concurrency)) as results:
            async for result in results:
                yield result
        reading.end()
        return
    definition = agent.definition
    engine = await here.async_engine()
    run, own = await asyncio.to_thread(run_of_map, here, definition.name, reading)
    ref = here.register(definition)
    runs.cap(here, run, definition)
    here.start_pump()
    intake = AsyncIntake(here, engine, definition.name, ref, run, tenant, item)
    tasks = Tasks(_attempt(here, engine, agent, run, ref), concurrency)
    parked: list[ItemResult] = []
    try:
        async for result in _results(items, engine, intake, tasks, concurrency):
            if result.state in ("paused", "queued"):
                parked.append(result)
            yield result
        if reading.end() and own:
            await engine.store.seal_run(run.id)
    except BaseException:
        await _interrupt(engine, intake, tasks, run)
        raise
    finally:
        say_parked(parked, run)


def _attempt(
    here: Runtime, engine: AsyncEngine, agent: AgentFunction[Any, Any], run: Run, ref: AgentRef
) -> Attempt:
    """Return what attempts an item: on the loop, or in a thread where the agent is not async."""
    if agent.is_async:
        return AsyncItems(engine, run, agent.definition, ref, limits.limited(agent)).attempt
    in_thread = threaded.Items(here.engine(), run, agent.definition, ref, agent.fn)
    return lambda job: asyncio.to_thread(in_thread.attempt, job)


async def _interrupt(engine: AsyncEngine, intake: AsyncIntake, tasks: Tasks, run: Run) -> None:
    """End what is under way, and leave the rest to the next start."""
    await tasks.cancel()
    if intake.jobs:
        with contextlib.suppress(Exception):  # as in threads
            await engine.store.fetch("leave_rooms", {"items": list(intake.jobs)})
    if intake.jobs or not tasks.exhausted:
        say_stopped(run)


async def _results(
    items: Any, engine: Any, intake: AsyncIntake, tasks: Tasks, concurrency: int
) -> AsyncIterator[ItemResult]:
    source = aiter(items) if isinstance(items, AsyncIterable) else _aiter(items)
    whole = isinstance(items, Sized)
    size = CHUNK if whole else concurrency * AHEAD
    while not tasks.exhausted or intake.jobs:
        if not tasks.exhausted and (whole or tasks.waiting() < concurrency * AHEAD):
            chunk, fault = await _read(source, size)
            tasks.exhausted = fault is None and len(chunk) < size
            jobs, ended = await intake.take(chunk) if chunk else ([], [])
            for job in jobs:
                tasks.add(job)
            found = await engine.results(ended) if ended else {}
            for item_id in ended:
                yield found[item_id]
            if fault is not None:
                raise fault
            continue
        job, result = await tasks.out.get()
        if isinstance(result, BaseException):
            raise result
        intake.jobs.pop(job.item_id, None)
        for _ in range(job.copies):
            yield result


async def _aiter(items: Iterable[Any]) -> AsyncIterator[Any]:
    for value in items:
        yield value


async def _read(source: AsyncIterator[Any], size: int) -> tuple[list[Any], Exception | None]:
    """Take up to ``size`` inputs; when the source raises, what came before that, and its error."""
    chunk: list[Any] = []
    try:
        while len(chunk) < size:
            chunk.append(await anext(source))
    except StopAsyncIteration:
        return chunk, None
    except Exception as fault:  # noqa: BLE001 - the source is the user's; raised after the capture
        return chunk, fault
    return chunk, None


def map_coroutines(
    agent: AgentFunction[Any, Any],
    items: Iterable[Any],
    tenant: Any,
    item: Pick,
    concurrency: int,
    reading: Reading,
) -> Generator[ItemResult, None, None]:
    """Run ``amap`` of an async agent on a loop in a thread of its own, for a caller without one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="papayya-loop", daemon=True)
    thread.start()
    results = amap_items(agent, items, tenant, item, concurrency, reading)
    steps: list[asyncio.Task[Any] | None] = [None]

    async def step() -> ItemResult | None:
        steps[0] = asyncio.current_task()
        return await anext(results, None)

    def wait(coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    try:
        while (result := wait(step())) is not None:
            yield result
    finally:
        try:
            wait(_end(results, steps))
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _end(results: AsyncGenerator[Any, Any], steps: list[asyncio.Task[Any] | None]) -> None:
    """End a map that may be in the middle of a step, then whatever else its loop runs."""
    try:
        if steps[0] is not None and not steps[0].done():
            steps[0].cancel()
            await asyncio.wait([steps[0]])
        with contextlib.suppress(asyncio.CancelledError):
            await results.aclose()
    finally:
        await _end_tasks()


async def _end_tasks() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
