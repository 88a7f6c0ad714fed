"""Ask a model a few times; each question, and each answer, waits for a file to appear.

``gated.py CALLS [steps]``: the k-th question waits for ``ask-k`` and its answer for ``take-k`` in
PAPAYYA_GATES; ``got-k`` appears when the body has the answer.
"""

# ruff: noqa: T201
from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
from openai import OpenAI

from papayya import agent, run

GATES = Path(os.environ["GATES"])
MODEL = "gpt-4.1-mini"
PATIENCE_S = 60
_now = threading.local()


def gate(name: str) -> None:
    """Wait for a file."""
    deadline = time.monotonic() + PATIENCE_S
    while not (GATES / name).exists():
        assert time.monotonic() < deadline, name
        time.sleep(0.01)


def answered(_: Any) -> None:
    """Hold an answer back, before anybody has seen it."""
    (GATES / f"answered-{_now.k}").touch()
    gate(f"take-{_now.k}")


client = OpenAI(
    max_retries=0, timeout=60, http_client=httpx2.Client(event_hooks={"response": [answered]})
)


def ask(k: int) -> str:
    """Ask the k-th question."""
    gate(f"ask-{k}")
    _now.k = k
    done = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": f"m{k}/question: I was charged twice."}],
        max_completion_tokens=500,
        extra_headers={"x-item-key": run.key, "idempotency-key": f"m{k}/question"},
    )
    (GATES / f"got-{k}").touch()
    return done.id


@agent
def gated(calls: int) -> list[str]:
    """Ask one question after the other."""
    if "steps" in sys.argv:
        return [run.task(f"ask-{k}", ask, k) for k in range(calls)]
    return [ask(k) for k in range(calls)]


if __name__ == "__main__":
    [result] = gated.map([int(sys.argv[1])], item=lambda calls: f"item-{calls}")
    print(result.state, *result.output or ())
