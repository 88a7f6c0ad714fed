"""What the workers of budget_chaos ask: one request each, which is as dear as it has samples."""

from __future__ import annotations

import functools
import os
import random
from typing import Any

from openai import OpenAI

MODEL = "claude-opus-4-8"  # the stand-in goes by names alone: $25 for a million tokens of output
TEXT = "I was charged twice for my last invoice, the app crashes, and I want a refund."
TOKENS = 60  # of a sample, at most; most have some more to say
SAMPLES = int(os.environ.get("CAP_SAMPLES", "74"))  # some $0.10
BOUNDED = os.environ.get("CAP_BOUNDED", "1") == "1"


@functools.cache
def client() -> OpenAI:
    """Return this process's client."""
    return OpenAI(timeout=60, max_retries=2)


def ask(name: str) -> str:
    """Ask for half to three halves of the usual samples; return the answer's id."""
    label = f"{name}/only"
    number = random.Random(label).randint(max(1, SAMPLES // 2), SAMPLES * 3 // 2)
    most: dict[str, Any] = {"max_completion_tokens": TOKENS} if BOUNDED else {}
    done = client().chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": f"{label}: {TEXT}"}],
        n=number,
        extra_headers={"x-item-key": name, "idempotency-key": label},
        **most,
    )
    return str(done.id)


def names(number: int) -> list[str]:
    """Name the items."""
    return [f"m{n}" for n in range(number)]
