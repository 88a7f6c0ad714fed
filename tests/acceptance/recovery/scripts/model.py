"""A paid step for the scripts beside this file: one question to a model, through its own client."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from openai import AsyncOpenAI, OpenAI

from papayya import run

MODEL = "gpt-4.1-mini"
PER_MILLION = {"input": Decimal("0.40"), "cached": Decimal("0.10"), "output": Decimal("1.60")}
MILLION = 1_000_000

client = OpenAI(max_retries=0)
async_client = AsyncOpenAI(max_retries=0)


def ask(question: str) -> dict[str, str]:
    """Ask, and report what the answer cost."""
    return answer(client.chat.completions.create(**request(question)))


def request(question: str) -> Any:
    """Name the item, so that the provider's ledger can be held against ours."""
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": question}],
        "extra_headers": {"x-item-key": run.key},
    }


def answer(done: Any) -> dict[str, str]:
    """Price an answer exactly, and keep its id: it names the payment."""
    used = done.usage
    cached = used.prompt_tokens_details.cached_tokens or 0
    dollars = (
        (used.prompt_tokens - cached) * PER_MILLION["input"]
        + cached * PER_MILLION["cached"]
        + used.completion_tokens * PER_MILLION["output"]
    ) / MILLION
    run.cost(usd=dollars, tokens=used.total_tokens)
    return {"id": done.id, "text": done.choices[0].message.content}
