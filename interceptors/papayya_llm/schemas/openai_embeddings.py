"""OpenAI's embeddings: texts in, vectors out; only the texts are paid for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from papayya_core.call import Answered, Asked, Message, Tokens
from papayya_llm.schemas.base import (
    NO_HEADERS,
    JsonObject,
    Listener,
    count,
    first,
    known,
    name_in_path,
    record,
    text,
)
from papayya_llm.schemas.openai_chat import ChatListener
from papayya_llm.schemas.openai_parts import VOLATILE


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Texts, or their tokens, in; vectors out."""

    name: str = "openai.embeddings"
    volatile: frozenset[str] = VOLATILE

    def ask(self, path: str, body: Any, size: int, provider: str) -> Asked:
        """Read a request."""
        model = text(record(body).get("model")) or name_in_path(path, "deployments")
        return Asked(provider, self.name, model, "embedding", max_tokens=0, body_bytes=size)

    def answer(self, body: Any, headers: Mapping[str, str] = NO_HEADERS) -> Answered:
        """Read an answer's model and tokens."""
        body = record(body)
        return Answered(
            model=known(body.get("model")),
            response_id=known(body.get("id")),
            tokens=_tokens(record(body.get("usage"))),
            whole=not body.get("error"),
        )

    def stream(self) -> Listener:
        """Nobody streams vectors; what comes is read as chunks would be."""
        return ChatListener()

    def can_clamp(self, body: Any) -> bool:
        """There is no output to be lowered."""
        return False

    def clamped(self, body: JsonObject, most: int, provider: str = "") -> JsonObject:
        """Leave it as it is."""
        return body

    def messages(self, body: Any) -> tuple[Message, ...]:
        """Read the texts."""
        given = record(body).get("input")
        several = given if isinstance(given, list) else [given]
        if several and all(isinstance(item, int) for item in several):
            several = [several]
        return tuple(Message("user", _readable(item)) for item in several if item is not None)


def _tokens(usage: JsonObject) -> Tokens | None:
    told = first(usage, "prompt_tokens", "total_tokens")
    return None if told is None else Tokens(input=count(told))


def _readable(item: Any) -> str:
    return f"[{len(item)} tokens]" if isinstance(item, list) else text(item)


EMBEDDINGS = Embeddings()
