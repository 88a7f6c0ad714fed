"""OpenAI's client of the second generation, in every way it can be asked."""

from __future__ import annotations

import asyncio
from typing import Any

from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

MODEL = "gpt-5.4-mini"


class Animal(BaseModel):
    """What is spoken of."""

    name: str
    legs: int


def hello(topic: str) -> dict[str, Any]:
    """Ask thirteen times."""
    with OpenAI() as client:
        found = {**_chat(client, topic), **_responses(client, topic)}
        found["embedding"] = _embedding(client, topic)
    return {**found, **asyncio.run(_async(topic))}


def _chat(client: OpenAI, topic: str) -> dict[str, Any]:
    ask = client.chat.completions
    whole = ask.create(model=MODEL, messages=_words("one", topic))
    parts = ask.create(model=MODEL, messages=_words("two", topic), stream=True)
    with_usage = ask.create(
        model=MODEL,
        messages=_words("three", topic),
        stream=True,
        stream_options={"include_usage": True},
    )
    raw = ask.with_raw_response.create(model=MODEL, messages=_words("four", topic))
    with ask.stream(model=MODEL, messages=_words("five", topic)) as events:
        helped = events.get_final_completion()
    with ask.with_streaming_response.create(
        model=MODEL, messages=_words("six", topic)
    ) as streaming:
        streamed = streaming.parse()
    parsed = ask.parse(model=MODEL, messages=_words("seven", topic), response_format=Animal)
    return {
        "chat": whole.model_dump(mode="json"),
        "chat stream": [part.model_dump(mode="json") for part in parts],
        "chat stream with usage": [part.model_dump(mode="json") for part in with_usage],
        "chat raw": [raw.status_code, raw.parse().model_dump(mode="json")],
        "chat helper": helped.model_dump(mode="json"),
        "chat streaming": streamed.model_dump(mode="json"),
        "chat parse": parsed.choices[0].message.content,
    }


def _responses(client: OpenAI, topic: str) -> dict[str, Any]:
    whole = client.responses.create(model=MODEL, input=f"Say something of {topic}.")
    parts = client.responses.create(model=MODEL, input=f"Say more of {topic}.", stream=True)
    return {
        "responses": whole.model_dump(mode="json"),
        "responses stream": [part.model_dump(mode="json") for part in parts],
    }


def _embedding(client: OpenAI, topic: str) -> list[float]:
    return client.embeddings.create(model="text-embedding-3-small", input=topic).data[0].embedding


async def _async(topic: str) -> dict[str, Any]:
    async with AsyncOpenAI() as client:
        ask = client.chat.completions
        whole = await ask.create(model=MODEL, messages=_words("eight", topic))
        parts = await ask.create(model=MODEL, messages=_words("nine", topic), stream=True)
        chunks = [part.model_dump(mode="json") async for part in parts]
        async with client.responses.stream(model=MODEL, input=f"And {topic}?") as events:
            helped = await events.get_final_response()
        return {
            "async chat": whole.model_dump(mode="json"),
            "async chat stream": chunks,
            "async responses helper": helped.model_dump(mode="json"),
        }


def _words(number: str, topic: str) -> Any:
    return [{"role": "user", "content": f"Say {number} things of {topic}."}]
