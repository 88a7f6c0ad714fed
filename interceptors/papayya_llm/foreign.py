"""A wire format that only a plugin can read, by the hook ``normalise_call``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from papayya_core.call import Answered, Asked, CallFacts, Message
from papayya_core.runtime import runtime
from papayya_llm.schemas import NO_HEADERS, Listener
from papayya_llm.schemas.base import JsonObject


@dataclass(frozen=True, slots=True)
class Foreign:
    """One request in such a format, and what the plugin said of it."""

    url: str
    request: dict[str, Any]
    facts: CallFacts
    volatile: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The plugin's name for the format."""
        return self.facts.asked.schema

    def ask(self, path: str, body: Any, size: int, provider: str) -> Asked:
        """Say what the plugin said."""
        return self.facts.asked

    def answer(self, body: Any, headers: Mapping[str, str] = NO_HEADERS) -> Answered:
        """Ask the plugin about an answer: parsed JSON, or text."""
        facts = runtime().plugins.normalise_call(self.url, self.request, body)
        return (facts.answered if facts is not None else None) or Answered()

    def stream(self) -> Listener:
        """Hear that there is output; what it says is asked at the end."""
        return Unread()

    def can_clamp(self, body: Any) -> bool:
        """Nobody knows where its limit of output is."""
        return False

    def clamped(self, body: JsonObject, most: int, provider: str = "") -> JsonObject:
        """Leave it as it is."""
        return body

    def messages(self, body: Any) -> tuple[Message, ...]:
        """Say what the plugin said."""
        return self.facts.messages


class Unread:
    """Listens to a stream without understanding it."""

    def feed(self, event: str | None, data: Any) -> bool:
        """Take any event for output."""
        return data is not None

    def done(self) -> Answered:
        """Nothing was read."""
        return Answered(whole=False)


def ask(url: str, request: dict[str, Any]) -> Foreign | None:
    """Ask the plugins about a request; None: it is no model call to any of them."""
    facts = runtime().plugins.normalise_call(url, request, None)
    return Foreign(url, request, facts) if facts is not None else None
