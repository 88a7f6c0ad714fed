"""Google's generateContent, seen through google-genai."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from papayya_core.fake_provider.book import key_label
from papayya_core.fake_provider.prices import Usage, price
from tests.acceptance.fake_provider.stand_in import TICKET, StandIn, item

pytestmark = pytest.mark.acceptance

FLASH = "gemini-2.5-flash"
KEY = "AIza-test-key"


class Tag(BaseModel):
    """The answer asked for."""

    category: Literal["billing", "technical", "account"]
    confidence: float


@pytest.fixture
def client(shared: StandIn) -> Iterator[genai.Client]:
    """Connect Google's client."""
    options = types.HttpOptions(base_url=shared.url, timeout=20_000)
    with genai.Client(api_key=KEY, http_options=options) as made:
        yield made


def config(name: str, fault: str | None = None, **more: Any) -> Any:
    """Configure a request for an item."""
    headers = types.HttpOptions(headers=item(name, fault))
    return types.GenerateContentConfig(http_options=headers, **more)


def check_cost(stand_in: StandIn, name: str, usage: Any) -> None:
    """Check that an item's entry costs what the usage in its answer does."""
    cached = usage.cached_content_token_count or 0
    said = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    used = Usage(input=usage.prompt_token_count - cached, cached=cached, output=said)
    assert stand_in.entry(name)["cost_nusd"] == price(FLASH, used) > 0
    assert usage.total_token_count == used.prompt + said


@pytest.mark.parametrize("stream", [False, True])
def test_json(shared: StandIn, client: genai.Client, stream: bool) -> None:
    """An answer fits the asked type, streamed or not, at the cost that its usage has."""
    name = f"google-{stream}"
    asked = config(name, response_mime_type="application/json", response_schema=Tag)
    if stream:
        chunks = list(
            client.models.generate_content_stream(model=FLASH, contents=TICKET, config=asked)
        )
        text = "".join(chunk.text or "" for chunk in chunks)
        made = chunks[-1]
        assert len(chunks) > 2
    else:
        made = client.models.generate_content(model=FLASH, contents=TICKET, config=asked)
        text = made.text or ""
    assert Tag.model_validate_json(text).category == "billing"
    check_cost(shared, name, made.usage_metadata)
    entry = shared.entry(name)
    assert (entry["response_id"], entry["key"]) == (made.response_id, key_label(KEY))
    assert (entry["stream"], entry["model"]) == (stream, FLASH)
    assert made.model_version == FLASH


def test_functions(shared: StandIn, client: genai.Client) -> None:
    """A Python function is called by the client on the model's wish, and then the model speaks."""
    asked: list[str] = []

    def get_weather(city: str) -> str:
        """Tell the weather of a city."""
        asked.append(city)
        return "21 degrees"

    chat = config("functions", tools=[get_weather])
    made = client.models.generate_content(model=FLASH, contents="Weather?", config=chat)
    assert len(asked) == 1
    assert made.text
    assert len(shared.entries("functions")) == 2


def test_thoughts(shared: StandIn, client: genai.Client) -> None:
    """Thoughts are shown when that is asked, and billed beside the answer."""
    thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=64)
    made: Any = client.models.generate_content(
        model=FLASH, contents=TICKET, config=config("thoughts", thinking_config=thinking)
    )
    thought, said = made.candidates[0].content.parts
    assert (thought.thought, bool(said.text)) == (True, True)
    assert made.usage_metadata.thoughts_token_count == 64
    check_cost(shared, "thoughts", made.usage_metadata)


def test_async(shared: StandIn) -> None:
    """The asynchronous client gets the same answer."""

    async def ask() -> tuple[str | None, str]:
        options = types.HttpOptions(base_url=shared.url)
        async with genai.Client(api_key=KEY, http_options=options).aio as client:
            whole = await client.models.generate_content(model=FLASH, contents="Hello?")
            stream = await client.models.generate_content_stream(model=FLASH, contents="Hello?")
            return whole.text, "".join([chunk.text or "" async for chunk in stream])

    whole, joined = asyncio.run(ask())
    assert whole == joined


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("rate_limit", errors.ClientError, 429),
        ("server_error", errors.ServerError, 500),
        ("overloaded", errors.ServerError, 503),
    ],
)
def test_errors(
    shared: StandIn,
    client: genai.Client,
    fault: str,
    error: type[errors.APIError],
    code: int,
) -> None:
    """Errors reach the client as such, and cost nothing."""
    with pytest.raises(error) as failed:
        client.models.generate_content(model=FLASH, contents="x", config=config(fault, fault))
    assert failed.value.code == code
    assert shared.entry(fault)["cost_nusd"] == 0


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("refusal", types.FinishReason.SAFETY),
        ("truncation", types.FinishReason.MAX_TOKENS),
        ("empty", types.FinishReason.STOP),
    ],
)
def test_degraded(client: genai.Client, fault: str, reason: types.FinishReason) -> None:
    """Answers that are not what was asked for have Google's finish reasons."""
    made: Any = client.models.generate_content(
        model=FLASH, contents=TICKET, config=config(f"google-{fault}", fault)
    )
    assert made.candidates[0].finish_reason == reason
