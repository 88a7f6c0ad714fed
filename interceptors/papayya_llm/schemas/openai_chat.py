"""OpenAI's chat completions, as its own and the many compatible servers speak them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from papayya_core.call import Answered, Asked, Finish, Message, ToolResult
from papayya_llm.schemas import openai_parts as shared
from papayya_llm.schemas.base import (
    NO_HEADERS,
    JsonObject,
    Listener,
    finish,
    first,
    known,
    lowered,
    name_in_path,
    number,
    record,
    records,
    tellest,
    text,
    written,
)
from papayya_llm.schemas.openai_usage import has_usage, usage
from papayya_llm.schemas.writing import Writing

END = "[DONE]"
_NEWER = "max_completion_tokens"
_OWNERS = frozenset({"", "openai", "azure.ai.openai"})
_SEARCHING = ("-search-preview", "-search-api", ":online")


@dataclass(frozen=True, slots=True)
class Chat:
    """Messages, or one prompt, in; choices out."""

    name: str
    volatile: frozenset[str] = shared.VOLATILE

    def ask(self, path: str, body: Any, size: int, provider: str) -> Asked:
        """Read a request; an Azure deployment may be named in the path alone."""
        body = record(body)
        messages = records(body.get("messages"))
        parts = list(shared.parts(messages))
        images, inline = shared.pictures(parts)
        return Asked(
            provider=provider,
            schema=self.name,
            model=text(body.get("model")) or name_in_path(path, "deployments"),
            stream=body.get("stream") is True,
            samples=_samples(body),
            max_tokens=number(first(body, "max_completion_tokens", "max_tokens")),
            body_bytes=max(size - inline, 0),
            images=images,
            unbounded=_unbounded(body, parts, provider),
            tools=shared.tool_names(body.get("tools")) + shared.tool_names(body.get("functions")),
            tool_results=_results(messages),
        )

    def answer(self, body: Any, headers: Mapping[str, str] = NO_HEADERS) -> Answered:
        """Read a completion: a chunk that has it all."""
        heard = ChatListener(ended=True)
        heard.feed(None, body)
        return heard.done()

    def stream(self) -> Listener:
        """Begin to read chunks."""
        return ChatListener()

    def can_clamp(self, body: Any) -> bool:
        """A budget for thoughts, as some servers take it, has to fit into the limit."""
        body = record(body)
        thinking, reasoning = record(body.get("thinking")), record(body.get("reasoning"))
        return first({**thinking, **reasoning}, "budget_tokens", "max_tokens") is None

    def clamped(self, body: JsonObject, most: int, provider: str = "") -> JsonObject:
        """Lower what is there; the newer field is one that not every server knows."""
        new = _NEWER if self.name == "openai.chat" and provider in _OWNERS else "max_tokens"
        return lowered(body, most, _NEWER, "max_tokens", new=new)

    def messages(self, body: Any) -> tuple[Message, ...]:
        """Read the messages, or the prompt."""
        body = record(body)
        if (prompt := body.get("prompt")) is not None:
            return (Message("user", written(prompt)),)
        return tuple(_message(message) for message in records(body.get("messages")))


class ChatListener:
    """Reads chunks: pieces of each choice, and the usage in the last, or in one of its own."""

    def __init__(self, *, ended: bool = False) -> None:
        self._writing = Writing()
        self._ends: dict[int, Finish | None] = {}
        self._usage: JsonObject = {}
        self._model: str | None = None
        self._id: str | None = None
        self._ended = ended
        self._error = False

    def feed(self, event: str | None, data: Any) -> bool:
        """Take a chunk."""
        if data == END:
            self._ended = True
            return False
        chunk = record(data)
        self._error = self._error or bool(chunk.get("error"))
        self._model = self._model or known(chunk.get("model"))
        self._id = self._id or known(chunk.get("id"))
        told = record(chunk.get("usage")) or record(record(chunk.get("x_groq")).get("usage"))
        self._usage = told or self._usage
        found = [self._choice(at, c) for at, c in enumerate(records(chunk.get("choices")))]
        return any(found)

    def _choice(self, at: int, choice: JsonObject) -> bool:
        """Take a choice's message, or what a chunk adds to it."""
        index = number(choice.get("index"))
        sample = at if index is None else index
        delta = record(choice.get("delta") or choice.get("message"))
        wrote = self._text(sample, delta) | self._writing.say(choice.get("text"), sample)
        refused = self._writing.say(delta.get("refusal"), sample)
        wrote |= self._calls(sample, delta) | refused
        end = finish(choice.get("finish_reason"))
        before = self._ends.get(sample)
        self._ends[sample] = tellest(before, "content_filter" if refused else None, end)
        return wrote

    def _text(self, sample: int, delta: JsonObject) -> bool:
        """Take the content, and the thoughts that some servers send beside it."""
        content = delta.get("content")
        wrote = self._writing.say(content, sample)
        for part in records(content):
            wrote |= self._writing.say(part.get("text"), sample)
            for thought in records(part.get("thinking")):
                wrote |= self._writing.think(thought.get("text"))
        wrote |= self._writing.think(record(delta.get("audio")).get("transcript"))
        return wrote | self._writing.think(first(delta, "reasoning_content", "reasoning"))

    def _calls(self, sample: int, delta: JsonObject) -> bool:
        """Take the tool calls, whose arguments come in pieces."""
        called = list(enumerate(records(delta.get("tool_calls"))))
        if isinstance(delta.get("function_call"), dict):
            called.append((len(called), {"function": delta["function_call"]}))
        for at, call in called:
            index = number(call.get("index"))
            made = record(call.get("function") or call.get("custom"))
            slot = (sample, at if index is None else index)
            asked = first(made, "arguments", "input")
            self._writing.call(slot, call.get("id"), made.get("name"), asked)
        return bool(called)

    def done(self) -> Answered:
        """Say what was read; usage and every choice's end stand in for a missing end mark."""
        ends = self._ends.values()
        closed = has_usage(self._usage) and bool(ends) and None not in ends
        return self._writing.answered(
            model=self._model,
            response_id=self._id,
            finish=tellest(*ends),
            tokens=usage(self._usage),
            whole=(self._ended or closed) and not self._error,
        )


def _samples(body: JsonObject) -> int:
    """Count the samples: n for each prompt."""
    prompts = body.get("prompt")
    several = isinstance(prompts, list) and any(isinstance(p, str | list) for p in prompts)
    return (number(first(body, "best_of", "n")) or 1) * (len(prompts or ()) if several else 1)


def _unbounded(body: JsonObject, parts: list[JsonObject], provider: str) -> str | None:
    """Say why no bound of the price can be told."""
    model = text(body.get("model"))
    searches = ("web_search_options", "search_parameters", "plugins", "compound_custom")
    if (
        provider == "perplexity"
        or model.endswith(_SEARCHING)
        or model.removeprefix("groq/").startswith("compound")
        or any(body.get(name) not in (None, []) for name in searches)
    ):
        return "web search"
    kinds = {text(tool.get("type")) or "function" for tool in records(body.get("tools"))}
    if kinds - {"function", "custom"}:
        return f"server tool {min(kinds - {'function', 'custom'})}"
    if body.get("models"):
        return "other models"  # that may answer in its place
    modes = body.get("modalities")
    if isinstance(modes, list) and "audio" in modes:
        return "audio"
    return shared.why_unbounded(body, parts)


def _results(messages: list[JsonObject]) -> tuple[ToolResult, ...]:
    """Read what tools gave back since the model's last answer."""
    latest = itertools.takewhile(lambda m: m.get("role") != "assistant", reversed(messages))
    found = [
        ToolResult(
            known(message.get("tool_call_id")),
            known(message.get("name")),
            shared.readable(message.get("content")),
        )
        for message in latest
        if text(message.get("role")) in {"tool", "function"}
    ]
    return tuple(reversed(found))


def _message(message: JsonObject) -> Message:
    """Write a message for people."""
    calls = []
    for call in records(message.get("tool_calls")):
        made = record(call.get("function") or call.get("custom"))
        calls.append(shared.called(made.get("name"), first(made, "arguments", "input")))
    return shared.lines(message.get("role"), shared.readable(message.get("content")), *calls)


CHAT = Chat("openai.chat")
COMPLETIONS = Chat("openai.completions")
