"""A run by hand that stops between its steps: ``by_hand.py leave|die|complete``."""

# ruff: noqa: T201
from __future__ import annotations

import os
import signal
import sys

from papayya import papayya
from tests.acceptance.recovery.scripts.model import ask

if __name__ == "__main__":
    run = papayya().run("letter", item="letter-1")
    first = run.task("outline", ask, "Outline a letter")
    print("outlined", first["id"], flush=True)
    if sys.argv[1] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[1] == "leave":
        sys.exit(3)
    second = run.task("write", ask, f"Write it: {first['text']}")
    run.complete({"outline": first["id"], "letter": second["id"]})
    print("completed", run.result["letter"], flush=True)
