"""pydantic-ai: an agent with a typed output and one with a tool, over both of OpenAI's APIs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent


class City(BaseModel):
    """Where something took place."""

    city: str
    country: str


def hello(topic: str) -> dict[str, Any]:
    """Ask for a city, and roll a die."""
    where = Agent("openai:gpt-5.4-mini", output_type=City)
    dice = Agent("openai-chat:gpt-5.4-mini", instructions="You run a dice game. Roll the die.")

    @dice.tool_plain  # type: ignore[untyped-decorator]
    def roll_dice() -> str:
        """Roll a six-sided die and return the result."""
        return "4"

    city = where.run_sync(f"The windy city in the US of A, famous for {topic}.")
    rolled = dice.run_sync(f"My guess is 4, says one of the {topic}.")
    return {
        "city": city.output.model_dump(),
        "rolled": rolled.output,
        "requests": rolled.usage.requests,
        "tokens": city.usage.total_tokens + rolled.usage.total_tokens,
    }
