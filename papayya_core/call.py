"""The noun *call*, as it travels between the interceptors, the engine, the store and plugins.

A call is one exchange with a model provider, a tool or a retriever, inside a step. Every attempt
is one. Names of providers follow OpenTelemetry's GenAI conventions (``gen_ai.provider.name``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

CallKind = Literal["llm", "embedding", "tool", "retrieval", "step"]
CallState = Literal["pending", "answered", "failed", "void", "uncertain", "broken", "replayed"]
"""pending: sent, no end known · answered: whole, and in the journal · failed: the provider refused
it, nothing is billed · void: it was never sent · uncertain: nobody knows what became of it (a
timeout, a killed worker) · broken: its stream was left or cut before its end · replayed: answered
from the journal."""
Finish = Literal["stop", "length", "content_filter", "tool_calls", "other"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens by class. Disjoint, but ``reasoning``, which is a part of ``output``.

    ``cache_write_1h``: written to a cache that is kept for an hour, which is dearer.
    """

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def prompt(self) -> int:
        """All of the prompt, however it was paid."""
        return self.input + self.cache_read + self.cache_write + self.cache_write_1h

    @property
    def total(self) -> int:
        """All of them."""
        return self.prompt + self.output


class ToolCall(NamedTuple):
    """A tool that the model asked for; ``arguments`` as the model wrote them, usually JSON."""

    id: str | None
    name: str
    arguments: str


class ToolResult(NamedTuple):
    """What was given back for a tool call; ``name`` where the provider asks for it."""

    id: str | None
    name: str | None
    content: str
    is_error: bool = False


class Message(NamedTuple):
    """One message of a prompt, for people: its text, or what it holds instead in brackets."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for.

    ``schema`` names the wire format (``openai.chat``, …). ``body_bytes``: length of the body
    without images, an upper bound of its tokens. ``max_tokens``: of one sample, None when the
    request sets no limit. ``unbounded``: why its price has no bound (a stored conversation, a
    file, a paid server tool). ``tool_results``: those that follow the last answer of the model.
    """

    provider: str
    schema: str
    model: str
    kind: CallKind = "llm"
    stream: bool = False
    samples: int = 1
    max_tokens: int | None = None
    body_bytes: int = 0
    images: int = 0
    unbounded: str | None = None
    tools: tuple[str, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    """What an answer says. ``tokens`` None: it does not tell. ``text``: what the model wrote.

    ``whole``: it came to its end. ``seen``: characters of output that are not white space, for an
    estimate where there are no tokens.
    """

    model: str | None = None
    response_id: str | None = None
    finish: Finish | None = None
    tokens: Tokens | None = None
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    whole: bool = True
    seen: int = 0


@dataclass(frozen=True, slots=True)
class CallFacts:
    """A call as a plugin or a wire format describes it: ``messages`` are the prompt, for people."""

    asked: Asked
    answered: Answered | None = None
    messages: tuple[Message, ...] = ()


class Priced(NamedTuple):
    """What tokens cost: nano-dollars, rounded once; the source with its version."""

    nusd: int
    source: str


@dataclass(frozen=True, slots=True)
class PriceQuestion:
    """Tokens to price. ``at``: when they were used; prices have a history."""

    provider: str
    model: str
    tokens: Tokens
    at: datetime


class Limit(NamedTuple):
    """A rate limit as the provider tells it: so much of ``unit`` per minute, and what is left.

    ``reset``: seconds until all of it is there again.
    """

    unit: Literal["requests", "tokens"]
    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How an exchange ended, as its interceptor saw it.

    ``body``: the raw answer, decoded, when it is to be journalled. ``answered`` None: nothing of
    an answer was seen. Seconds are counted from the sending. ``exhausted``: it was refused because
    the provider's account has no credit.
    """

    state: CallState
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    answered: Answered | None = None
    retry_after: float | None = None
    request_id: str | None = None
    sdk_retries: int = 0
    error: str | None = None
    seconds: float = 0.0
    first_seconds: float | None = None
    limits: tuple[Limit, ...] = ()
    exhausted: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """An answer from the journal: what the provider sent, as it was."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(slots=True)
class Held:
    """A call between its hold and its settlement.

    ``bound_nusd``: what it may cost at most, None without a bound. ``resampled``: its answer before
    was no good. ``near``: the body of an answered request that an earlier delivery of the item sent
    from this step and this one has not sent (yet). ``turn``: the try of its step. ``clamped``:
    tokens of output per sample that a budget leaves, when they are less than what was asked for.
    ``reserved``: nano-dollars that it holds on the cap of its item.
    ``tokens``: what names a call that is spooled, and has no id yet.
    """

    id: int
    scope: bytes
    key: bytes
    ordinal: int
    asked: Asked
    at: datetime
    bound_nusd: int | None = None
    resampled: bool = False
    near: bytes | None = None
    turn: int = 0
    clamped: int | None = None
    reserved: int = 0
    tokens: tuple[int, int] | None = None
