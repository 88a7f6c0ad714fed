"""instructor: a model as the answer, from a client and by a provider's name, also in parts."""

from __future__ import annotations

from typing import Any

import instructor
from openai import OpenAI
from pydantic import BaseModel


class UserInfo(BaseModel):
    """Who is spoken of."""

    name: str
    age: int


def hello(topic: str) -> dict[str, Any]:
    """Ask three times for the same model."""
    words = [{"role": "user", "content": f"John Doe is 30 years old and likes {topic}."}]
    client = instructor.from_openai(OpenAI())
    ask = client.chat.completions
    user = ask.create(model="gpt-5.4-mini", response_model=UserInfo, messages=words)
    parts = ask.create_partial(model="gpt-5.4-mini", response_model=UserInfo, messages=words)
    *_, last = parts
    named = instructor.from_provider("openai/gpt-5.4-mini", mode=instructor.Mode.JSON_SCHEMA)
    other = named.chat.completions.create(response_model=UserInfo, messages=words)
    return {each: info.model_dump() for each, info in zip("abc", (user, last, other), strict=True)}
