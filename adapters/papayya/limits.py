"""``max_seconds`` of a coroutine: it is cancelled, and ends as failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from papayya_core import context
from papayya_core.errors import ItemTimedOut

if TYPE_CHECKING:
    from papayya.agents import AgentFunction


def limited(agent: AgentFunction[Any, Any]) -> Callable[..., Any]:
    """Return the agent's function, under its time limit where that can be enforced from here."""
    fn: Any = agent.fn
    seconds = agent.definition.max_seconds
    if seconds is None or not agent.is_async:
        return agent.fn

    async def body(*args: Any, **kwargs: Any) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await fn(*args, **kwargs)
        except TimeoutError as error:
            execution = context.current()
            if execution is None or not execution.is_overdue():
                raise
            msg = f"the item passed its {seconds} seconds"
            raise ItemTimedOut(msg, "max_seconds") from error

    return body
