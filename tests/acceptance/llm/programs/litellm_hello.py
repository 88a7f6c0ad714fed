"""LiteLLM: two providers behind one function, sync and async, whole and streamed."""

from __future__ import annotations

import asyncio
from typing import Any

import litellm

GPT, CLAUDE = "openai/gpt-5.4-mini", "anthropic/claude-haiku-4-5"


def hello(topic: str) -> dict[str, Any]:
    """Ask each model in four ways."""
    return {model: _four_ways(model, topic) for model in (GPT, CLAUDE)}


def _four_ways(model: str, topic: str) -> list[str]:
    whole = litellm.completion(model=model, messages=_words(topic))
    parts = litellm.completion(model=model, messages=_words(f"many {topic}"), stream=True)
    texts = [_text(whole), "".join(map(_delta, parts))]
    return texts + asyncio.run(_two_ways(model, topic))


async def _two_ways(model: str, topic: str) -> list[str]:
    whole = await litellm.acompletion(model=model, messages=_words(f"two {topic}"))
    parts = await litellm.acompletion(model=model, messages=_words(f"no {topic}"), stream=True)
    return [_text(whole), "".join([_delta(part) async for part in parts])]


def _words(topic: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Hello, what of {topic}?"}]


def _text(answer: Any) -> str:
    return str(answer.choices[0].message.content)


def _delta(part: Any) -> str:
    return part.choices[0].delta.content or ""
