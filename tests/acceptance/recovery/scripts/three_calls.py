"""Ask three times without a step; ``three_calls.py PLACE`` dies there, the first time.

Places: ``sending`` (the third request is about to go), ``answered`` (the third answer is there),
``nowhere``.
"""

# ruff: noqa: T201
from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx2
from openai import OpenAI

from papayya import agent

MODEL = "gpt-4.1-mini"


def die(place: str) -> None:
    """Die without warning, if this is the place and nobody has died here before."""
    mark = Path(os.environ["PAPAYYA_HOME"]) / "died"
    if place == sys.argv[1] and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def sending(request: Any) -> None:
    """Watch what the client sends."""
    if b"/third" in request.content:
        die("sending")


client = OpenAI(
    max_retries=0, timeout=60, http_client=httpx2.Client(event_hooks={"request": [sending]})
)


def ask(label: str) -> str:
    """Ask, and tell the provider's ledger who asks what."""
    done = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": f"{label}: I was charged twice."}],
        max_completion_tokens=500,
        extra_headers={"x-item-key": label.partition("/")[0], "idempotency-key": label},
    )
    return done.id


@agent
def triage(name: str) -> list[str]:
    """Ask three times, one after the other."""
    found = [ask(f"{name}/{word}") for word in ("first", "second", "third")]
    die("answered")
    return found


if __name__ == "__main__":
    [result] = triage.map(["m0"], item=str)
    print(*result.output)
