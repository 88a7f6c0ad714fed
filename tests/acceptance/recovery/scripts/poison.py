"""Items of which one kills its process: ``poison.py N CONCURRENCY``."""

# ruff: noqa: T201
from __future__ import annotations

import os
import signal
import sys

from papayya import agent, run
from tests.acceptance.recovery.scripts.model import ask

POISON = "ticket-0002"


@agent
def tag(ticket: str) -> str:
    """Pay for a step, and die in the one item."""
    if ticket == POISON:
        os.kill(os.getpid(), signal.SIGKILL)
    return str(run.task("category", ask, f"Which category has: {ticket}?")["id"])


if __name__ == "__main__":
    tickets = [f"ticket-{n:04}" for n in range(int(sys.argv[1]))]
    for result in tag.map(tickets, item=str, concurrency=int(sys.argv[2])):
        print(result.key, result.state, flush=True)
