"""What ``tag.py`` does, in one event loop."""

# ruff: noqa: T201
from __future__ import annotations

import asyncio
import signal
import sys

from papayya import agent, run
from tests.acceptance.recovery.scripts.model import answer, async_client, request


async def ask(question: str) -> dict[str, str]:
    """Ask, and report what the answer cost."""
    return answer(await async_client.chat.completions.create(**request(question)))


@agent
async def tag(ticket: str) -> dict[str, str]:
    """Find a category, then draft a reply that depends on it."""
    category = await run.task("category", ask, f"Which category has: {ticket}?")
    reply = await run.task("reply", ask, f"Reply to: {ticket}, of {category['text']}")
    return {"category": category["id"], "reply": reply["id"]}


async def main(number: int, concurrency: int) -> None:
    """Tag them all."""
    tickets = [f"ticket-{n:04}" for n in range(number)]
    async for result in tag.amap(tickets, item=str, concurrency=concurrency):
        print(result.key, result.state, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # some shells start jobs without it
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
