"""One model: how to ask it for JSON through its provider's own client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

MOST_TOKENS = 2_000  # of one answer
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said. ``refusal``: its words, if it would not; ``cut``: it had to stop."""

    text: str
    refusal: str | None
    cut: bool


class Model:
    """A model by name; ``url`` None is the provider's own address.

    Its client never tries again by itself: that is left to Papayya.
    """

    def __init__(self, name: str, key: str, url: str | None = None) -> None:
        self.name = name
        self._client = _client(name, key, url)

    def ask(self, instructions: str, text: str, schema: dict[str, Any], item: str) -> Reply:
        """Ask for a JSON answer. Raises the client's own errors."""
        asked = _ask_claude if is_claude(self.name) else _ask_gpt
        headers = {"x-item-key": header(item)}
        return asked(self._client, self.name, instructions, text, schema, headers)


def is_claude(name: str) -> bool:
    """Tell whose model it is."""
    return name.startswith("claude")


def header(item: str) -> str:
    """Write an item's key so that an HTTP header can carry it."""
    return item if item.isascii() and item.isprintable() else quote(item)


def _client(name: str, key: str, url: str | None) -> Any:
    options: dict[str, Any] = {"api_key": key, "max_retries": 0, "timeout": PATIENCE_S}
    if is_claude(name):
        from anthropic import Anthropic

        return Anthropic(base_url=url.removesuffix("/v1") if url else None, **options)
    from openai import OpenAI

    return OpenAI(base_url=url, **options)


def _ask_gpt(
    client: Any, model: str, instructions: str, text: str, schema: dict[str, Any], headers: Any
) -> Reply:
    form = {"name": "tag", "strict": True, "schema": schema}
    answer = client.chat.completions.create(
        model=model,
        messages=[
            {"role": "system", "content": instructions},
            {"role": "user", "content": text},
        ],
        response_format={"type": "json_schema", "json_schema": form},
        max_completion_tokens=MOST_TOKENS,
        extra_headers=headers,
    )
    said = answer.choices[0]
    return Reply(said.message.content or "", said.message.refusal, said.finish_reason == "length")


def _ask_claude(
    client: Any, model: str, instructions: str, text: str, schema: dict[str, Any], headers: Any
) -> Reply:
    answer = client.messages.create(
        model=model,
        system=instructions,
        messages=[{"role": "user", "content": text}],
        output_config={"format": {"type": "json_schema", "schema": schema}},
        max_tokens=MOST_TOKENS,
        extra_headers=headers,
    )
    said = "".join(block.text for block in answer.content if block.type == "text")
    refusal = "the model refused" if answer.stop_reason == "refusal" else None
    return Reply(said, refusal, answer.stop_reason == "max_tokens")
