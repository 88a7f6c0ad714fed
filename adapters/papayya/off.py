"""The mode off: agents are plain functions, ``run`` answers from memory, and nothing is recorded."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from papayya import limits
from papayya.current import ItemMethods
from papayya.submissions import Pick, pick, prepare
from papayya_core import aio, context, rules, sync
from papayya_core.checks import Identity
from papayya_core.contract import Agent, Captured, ItemResult, Opened, Outcome, Run
from papayya_core.execution import Execution

if TYPE_CHECKING:
    from papayya.agents import AgentFunction

_LIMIT = 2**31


def execution(agent: Agent, key: str = "off", tenant: str | None = None) -> Execution:
    """Make an execution that no database knows."""
    run = Run(0, f"off-{uuid.uuid4()}", False, False)
    captured = Captured(0, 0, key, 1, "running", True)
    opened = Opened("go", None, 0.0, None, (), 1, None, datetime.now(UTC))
    return Execution(run, agent, tenant or "unattributed", captured, opened, enforce=False)


def _named(agent: Agent, value: Any, tenant: Any, item: Pick) -> Execution:
    who = pick(tenant, value, "tenant") if callable(tenant) else tenant
    identity = Identity(who, pick(item, value, "item"))
    one = prepare((value,), {}, identity, None, _LIMIT).submission
    return execution(agent, one.key, one.tenant)


def _result(current: Execution | None, output: Any, error: Exception | None) -> ItemResult:
    ok: Outcome = "ok" if error is None else "failed"
    return ItemResult(
        current.key if current else "(unnamed)",
        "completed" if error is None else "failed",
        ok,
        output,
        rules.usd(current.cost_nusd if current else 0),
        (),
        current.tenant if current else "unattributed",
        None if error is None else rules.describe_error(error),
        error,
    )


def _one(agent: AgentFunction[Any, Any], value: Any, tenant: Any, item: Pick) -> ItemResult:
    current: Execution | None = None
    try:
        current = _named(agent.definition, value, tenant, item)
        with context.executing(current):
            return _result(current, current.output_or(sync.call(agent.fn, (value,), {})), None)
    except Exception as error:  # noqa: BLE001 - a map never raises for an item
        return _result(current, None, error)


async def _aone(agent: AgentFunction[Any, Any], value: Any, tenant: Any, item: Pick) -> ItemResult:
    if not agent.is_async:
        return await asyncio.to_thread(_one, agent, value, tenant, item)
    current: Execution | None = None
    try:
        current = _named(agent.definition, value, tenant, item)
        with context.executing(current):
            output = await aio.call(limits.limited(agent), (value,), {})
            return _result(current, current.output_or(output), None)
    except Exception as error:  # noqa: BLE001 - as above
        return _result(current, None, error)


def map_items(
    agent: AgentFunction[Any, Any], items: Iterable[Any], tenant: Any, item: Pick, concurrency: int
) -> Iterator[ItemResult]:
    """Run a function over items in threads; results come in the order of the items."""
    with ThreadPoolExecutor(concurrency, "papayya-map") as pool:
        waiting = deque[Future[ItemResult]]()
        for value in items:
            one = partial(_one, agent, value, tenant, item)
            waiting.append(pool.submit(copy_context().run, one))
            if len(waiting) >= 2 * concurrency:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


async def amap_items(
    agent: AgentFunction[Any, Any],
    items: Iterable[Any] | AsyncIterable[Any],
    tenant: Any,
    item: Pick,
    concurrency: int,
) -> AsyncGenerator[ItemResult, None]:
    """Run a function over items in tasks; results come in the order of the items."""
    waiting = deque[asyncio.Future[ItemResult]]()
    try:
        async for value in _each(items):
            waiting.append(asyncio.ensure_future(_aone(agent, value, tenant, item)))
            if len(waiting) >= concurrency:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _each(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(items, AsyncIterable):
        async for value in items:
            yield value
    else:
        for value in items:
            yield value


class OffHandle(ItemMethods):
    """What ``papayya().run(…)`` gives in this mode: the same methods, and no record."""

    def __init__(self, agent: Agent, key: str, tenant: str | None) -> None:
        self._before = context.current()
        self._current = execution(agent, key, tenant)
        self._current.on_complete = self.complete
        self.result: Any = None
        self.ended = False
        context.activate(self._current)

    @property
    def run_id(self) -> str:
        """A name; nothing can be gone on with."""
        return self._current.run.name

    def _execution(self) -> Execution:
        return self._current

    def complete(self, result: Any) -> None:
        """Take the result; what was current before is current again."""
        if not self.ended:
            self.ended = True
            self.result = result
            if context.current() is self._current:
                context.activate(self._before)

    def fail(self, error: BaseException) -> None:
        """End without a result."""
        self.complete(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.complete(None)
