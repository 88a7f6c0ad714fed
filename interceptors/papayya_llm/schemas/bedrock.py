"""Amazon Bedrock's Converse: one format for all models, as JSON or as botocore's dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from papayya_core.call import Answered, Asked, Message, ToolResult
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
from papayya_llm.schemas.bedrock_stream import ConverseListener

_PLAIN = frozenset({"csv", "html", "md", "txt"})
_THINKING = ("thinking", "reasoning_config")
VOLATILE = frozenset({"performanceConfig", "requestMetadata", "serviceTier"})


@dataclass(frozen=True, slots=True)
class Converse:
    """A conversation in, one message out."""

    name: str = "bedrock.converse"
    volatile: frozenset[str] = VOLATILE

    def ask(self, path: str, body: Any, size: int, provider: str) -> Asked:
        """Read a request; botocore's has the model among its fields."""
        body = record(body)
        model = text(body.get("modelId")) or unquote(name_in_path(path, "model"))
        blocks = list(_all_blocks(body))
        pictures = [record(block["image"]) for block in blocks if "image" in block]
        tools = records(record(body.get("toolConfig")).get("tools"))
        return Asked(
            provider=provider,
            schema=self.name,
            model=model,
            stream=path.endswith("/converse-stream"),
            max_tokens=number(record(body.get("inferenceConfig")).get("maxTokens")),
            body_bytes=max(size - sum(map(_inline, pictures)), 0),
            images=len(pictures),
            unbounded=_unbounded(model, tools, blocks),
            tools=tuple(_tool_names(tools)),
            tool_results=tuple(map(_result, _latest_results(body))),
        )

    def answer(self, body: Any, headers: Mapping[str, str] = NO_HEADERS) -> Answered:
        """Read a whole answer."""
        heard = ConverseListener(ended=True)
        heard.whole(record(body))
        return heard.done()

    def stream(self) -> Listener:
        """Begin to read events."""
        return ConverseListener()

    def can_clamp(self, body: Any) -> bool:
        """A budget for thoughts must stay below the limit."""
        more = record(record(body).get("additionalModelRequestFields"))
        return all(record(more.get(name)).get("budget_tokens") is None for name in _THINKING)

    def clamped(self, body: JsonObject, most: int, provider: str = "") -> JsonObject:
        """Lower the limit in its configuration."""
        config = record(body.get("inferenceConfig"))
        return {**body, "inferenceConfig": lowered(config, most, "maxTokens", new="maxTokens")}

    def messages(self, body: Any) -> tuple[Message, ...]:
        """Read the system prompt and the messages."""
        body = record(body)
        system = _readable(body.get("system"))
        said = (
            Message(text(message.get("role")), _readable(message.get("content")))
            for message in records(body.get("messages"))
        )
        return prompt(system, said)


def _all_blocks(body: JsonObject) -> Iterator[JsonObject]:
    """Go through the blocks of all messages, and of the tools' results in them."""
    for message in records(body.get("messages")):
        for block in records(message.get("content")):
            yield block
            yield from records(record(block.get("toolResult")).get("content"))


def _inline(media: JsonObject) -> int:
    """Count the bytes of an image in the body: base64, in whatever wrapping."""
    data = record(media.get("source")).get("bytes")
    wrapped = data.values() if isinstance(data, dict) else (data,)
    return sum(len(text(item)) for item in wrapped)


def _unbounded(model: str, tools: list[JsonObject], blocks: list[JsonObject]) -> str | None:
    """Say why no bound of the price can be told."""
    if ":prompt/" in model:
        return "stored prompt"
    for tool in tools:
        if "systemTool" in tool:
            return f"server tool {text(record(tool['systemTool']).get('name'))}"
    media = (block.get(kind) for block in blocks for kind in ("document", "video", "audio"))
    stored = any("s3Location" in record(record(item).get("source")) for item in media)
    if stored:
        return "file"
    packed = any("video" in block or _is_packed(record(block.get("document"))) for block in blocks)
    return "document" if packed else None


def _is_packed(document: JsonObject) -> bool:
    """Tell whether a document's bytes do not tell how much is to be read of it."""
    return bool(document) and text(document.get("format")) not in _PLAIN


def _tool_names(tools: list[JsonObject]) -> Iterator[str]:
    for tool in tools:
        named = record(tool.get("toolSpec")) or record(tool.get("systemTool"))
        if name := text(named.get("name")):
            yield name


def _latest_results(body: JsonObject) -> list[JsonObject]:
    """Find the tool results that follow the model's last answer."""
    found: list[JsonObject] = []
    for message in records(body.get("messages")):
        if message.get("role") == "assistant":
            found.clear()
            continue
        blocks = records(message.get("content"))
        found.extend(record(block["toolResult"]) for block in blocks if "toolResult" in block)
    return found


def _result(given: JsonObject) -> ToolResult:
    failed = given.get("status") == "error"
    return ToolResult(known(given.get("toolUseId")), None, _readable(given.get("content")), failed)


def _readable(content: Any) -> str:
    """Write blocks for people; what is no text stands in brackets."""
    return "\n".join(filter(None, map(_line, records(content))))


def _line(block: JsonObject) -> str:
    if said := text(block.get("text")):
        return said
    if "json" in block:
        return written(block["json"])
    if call := record(block.get("toolUse")):
        return f"[calls {text(call.get('name'))}({written(call.get('input'))})]"
    if given := record(block.get("toolResult")):
        return f"[tool result] {_readable(given.get('content'))}"
    return f"[{next(iter(block))}]" if block and "cachePoint" not in block else ""


CONVERSE = Converse()
