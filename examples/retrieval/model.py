"""Embeddings and answers, through the provider's own client."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache

from openai import OpenAI

MODEL, EMBEDDER = "gpt-5.4-mini", "text-embedding-3-small"
STAND_IN = "http://localhost:8089/v1"  # papayya fake-provider --port 8089
INSTRUCTIONS = "Answer from the passages only. If they do not say, say so."


@cache
def client() -> OpenAI:
    """Make the client: the usual variables, or else the stand-in."""
    if os.environ.get("OPENAI_API_KEY"):
        return OpenAI()
    return OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", STAND_IN), api_key="sk-stand-in")


def place(text: str, size: int) -> list[float]:
    """Turn a text into a vector."""
    made = client().embeddings.create(model=EMBEDDER, input=text, dimensions=size)
    return made.data[0].embedding


def answer(question: str, passages: Iterable[str]) -> str:
    """Answer a question from passages."""
    material = "\n".join(f"- {each}" for each in passages)
    said = client().chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "system", "content": INSTRUCTIONS},
            {"role": "user", "content": f"{question}\n\nPassages:\n{material}"},
        ],
        max_completion_tokens=300,
    )
    return said.choices[0].message.content or ""
