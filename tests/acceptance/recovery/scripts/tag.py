"""Tag tickets in two paid steps each, and print a line for each that ended.

``tag.py N CONCURRENCY [hold]``; with ``hold`` the script never gets past the first result.
"""

# ruff: noqa: T201
from __future__ import annotations

import signal
import sys
import threading

from papayya import agent, run
from tests.acceptance.recovery.scripts.model import ask


@agent
def tag(ticket: str) -> dict[str, str]:
    """Find a category, then draft a reply that depends on it."""
    category = run.task("category", ask, f"Which category has: {ticket}?")
    reply = run.task("reply", ask, f"Reply to: {ticket}, of {category['text']}")
    return {"category": category["id"], "reply": reply["id"]}


def main(number: int, concurrency: int, *, hold: bool) -> None:
    """Tag them all."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # some shells start jobs without it
    tickets = [f"ticket-{n:04}" for n in range(number)]
    for result in tag.map(
        tickets, tenant=lambda t: f"org-{int(t[-1]) % 2}", item=str, concurrency=concurrency
    ):
        print(result.key, result.state, flush=True)
        if hold:
            threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), hold="hold" in sys.argv)
