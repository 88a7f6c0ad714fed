"""Anthropic's messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from papayya_core.call import Answered, Asked, Message, ToolResult
from papayya_llm.schemas.anthropic_stream import MessagesListener
from papayya_llm.schemas.base import (
    NO_HEADERS,
    JsonObject,
    Listener,
    known,
    lowered,
    name_in_path,
    number,
    prompt,
    record,
    records,
    text,
    written,
)

TOOLS_PROMPT = 600
"""Bytes, thus tokens, that tools may add to the prompt unseen: Anthropic tells of 313 to 530."""
TYPED_TOOL = 800
"""The same for each tool of Anthropic's own that the caller runs: up to 735 are told of."""
_SERVER_TOOLS = ("web_", "code_execution", "computer_", "tool_search", "mcp_", "advisor")


@dataclass(frozen=True, slots=True)
class Messages:
    """A conversation in, one message out."""

    name: str = "anthropic.messages"
    volatile: frozenset[str] = frozenset({"metadata", "service_tier"})

    def ask(self, path: str, body: Any, size: int, provider: str) -> Asked:
        """Read a request; Vertex and Bedrock name the model in the path, and stream by it."""
        body = record(body)
        blocks = list(_all_blocks(body))
        pictures = [block for block in blocks if block.get("type") == "image"]
        tools = records(body.get("tools"))
        return Asked(
            provider=provider,
            schema=self.name,
            model=text(body.get("model")) or name_in_path(path, "models").partition(":")[0],
            stream=body.get("stream") is True or path.endswith(":streamRawPredict"),
            max_tokens=number(body.get("max_tokens")),
            body_bytes=max(size - sum(map(_inline, pictures)), 0) + _unseen(tools),
            images=len(pictures),
            unbounded=_unbounded(body, tools, blocks),
            tools=tuple(filter(None, (text(tool.get("name")) for tool in tools))),
            tool_results=tuple(map(_result, _latest_results(body))),
        )

    def answer(self, body: Any, headers: Mapping[str, str] = NO_HEADERS) -> Answered:
        """Read a message: a stream's beginning that has it all."""
        heard = MessagesListener(ended=True)
        heard.feed(None, body)
        return heard.done()

    def stream(self) -> Listener:
        """Begin to read events."""
        return MessagesListener()

    def can_clamp(self, body: Any) -> bool:
        """A budget for thoughts must stay below the limit."""
        return record(record(body).get("thinking")).get("budget_tokens") is None

    def clamped(self, body: JsonObject, most: int, provider: str = "") -> JsonObject:
        """Lower its one limit."""
        return lowered(body, most, "max_tokens", new="max_tokens")

    def messages(self, body: Any) -> tuple[Message, ...]:
        """Read the system prompt and the messages."""
        body = record(body)
        system = readable(body.get("system"))
        said = (
            Message(text(message.get("role")), readable(message.get("content")))
            for message in records(body.get("messages"))
        )
        return prompt(system, said)


def _all_blocks(body: JsonObject) -> Iterator[JsonObject]:
    """Go through the blocks of all messages, and of the tools' results in them."""
    for message in records(body.get("messages")):
        for block in records(message.get("content")):
            yield block
            yield from records(block.get("content"))


def _inline(block: JsonObject) -> int:
    """Count the bytes of an image that the request carries."""
    source = record(block.get("source"))
    return len(text(source.get("data"))) if source.get("type") == "base64" else 0


def _unseen(tools: list[JsonObject]) -> int:
    """Bound the tokens that the provider writes about tools by itself."""
    typed = sum(text(tool.get("type")) not in {"", "custom"} for tool in tools)
    return TOOLS_PROMPT + TYPED_TOOL * typed if tools else 0


def _unbounded(body: JsonObject, tools: list[JsonObject], blocks: list[JsonObject]) -> str | None:
    """Say why no bound of the price can be told."""
    for tool in tools:
        if text(tool.get("type")).startswith(_SERVER_TOOLS):
            return f"server tool {tool['type']}"
    if body.get("mcp_servers"):
        return "server tool mcp"
    if body.get("container"):
        return "container"
    documents = [block for block in blocks if block.get("type") != "image"]
    sources = (record(block.get("source")) for block in documents)
    remote = any(text(source.get("type")) in {"file", "url"} for source in sources)
    named = any(record(block.get("source")).get("type") == "file" for block in blocks)
    if remote or named:
        return "file"
    if any(record(block.get("source")).get("type") == "base64" for block in documents):
        return "document"  # its pages are read as images too, whatever little they take packed
    return "fast mode" if body.get("speed") == "fast" else None


def _latest_results(body: JsonObject) -> list[JsonObject]:
    """Find the tool results that follow the model's last answer."""
    found: list[JsonObject] = []
    for message in records(body.get("messages")):
        if message.get("role") == "assistant":
            found.clear()
            continue
        blocks = records(message.get("content"))
        found.extend(block for block in blocks if block.get("type") == "tool_result")
    return found


def _result(block: JsonObject) -> ToolResult:
    return ToolResult(
        known(block.get("tool_use_id")),
        None,
        readable(block.get("content")),
        block.get("is_error") is True,
    )


def readable(content: Any) -> str:
    """Write a message's blocks for people; what is no text stands in brackets."""
    if isinstance(content, str):
        return content
    return "\n".join(filter(None, map(_line, records(content))))


def _line(block: JsonObject) -> str:
    kind = text(block.get("type"))
    if kind == "text":
        return text(block.get("text"))
    if kind.endswith("tool_use"):
        return f"[calls {text(block.get('name'))}({written(block.get('input'))})]"
    if kind == "tool_result":
        return f"[tool result] {readable(block.get('content'))}"
    return f"[{kind}]" if kind else ""


MESSAGES = Messages()
