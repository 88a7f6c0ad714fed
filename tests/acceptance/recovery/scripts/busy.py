"""One item that holds the interpreter's lock for many seconds: ``busy.py SECONDS``."""

# ruff: noqa: T201
from __future__ import annotations

import ctypes
import sys

from papayya import agent, run
from tests.acceptance.recovery.scripts.model import ask

HELD = ctypes.PyDLL(None)  # unlike CDLL, it keeps the lock during a call


@agent
def tag(ticket: str) -> str:
    """Pay, let no other thread of this process run, and pay again."""
    run.task("before", ask, f"Which category has: {ticket}?")
    print("busy", flush=True)
    HELD.sleep(int(sys.argv[1]))
    return str(run.task("after", ask, f"Reply to: {ticket}")["id"])


if __name__ == "__main__":
    for result in tag.map(["ticket-0000"], item=str, concurrency=1):
        print(result.key, result.state, flush=True)
