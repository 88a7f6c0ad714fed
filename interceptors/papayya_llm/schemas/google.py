"""Google's generateContent, of the Gemini API and of Vertex AI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from papayya_core.call import Answered, Asked, Message, ToolResult
from papayya_llm.schemas.base import (
    NO_HEADERS,
    JsonObject,
    Listener,
    first,
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
from papayya_llm.schemas.google_stream import GoogleListener

_LIMITS = ("maxOutputTokens", "max_output_tokens")
_OWN_TOOLS = frozenset({"functionDeclarations", "function_declarations"})


@dataclass(frozen=True, slots=True)
class Generate:
    """Contents in, candidates out. Fields are camel case; the API takes snake case too."""

    name: str = "google.generate"
    volatile: frozenset[str] = frozenset({"labels", "serviceTier", "service_tier"})

    def ask(self, path: str, body: Any, size: int, provider: str) -> Asked:
        """Read a request; the path names the model, and says whether to stream."""
        body = record(body)
        config = record(first(body, "generationConfig", "generation_config"))
        parts = list(_all_parts(body))
        pictures = [data for part in parts if (data := _picture(part)) is not None]
        tools = records(body.get("tools"))
        return Asked(
            provider=provider,
            schema=self.name,
            model=name_in_path(path, "models").partition(":")[0] or text(body.get("model")),
            stream=path.endswith(":streamGenerateContent"),
            samples=number(first(config, "candidateCount", "candidate_count")) or 1,
            max_tokens=number(first(config, *_LIMITS)),
            body_bytes=max(size - sum(map(len, pictures)), 0),
            images=len(pictures),
            unbounded=_unbounded(body, tools, parts),
            tools=tuple(_tool_names(tools)),
            tool_results=tuple(_latest_results(body)),
        )

    def answer(self, body: Any, headers: Mapping[str, str] = NO_HEADERS) -> Answered:
        """Read a response, or the list of chunks that a stream without events is."""
        heard = GoogleListener(ended=not isinstance(body, list))
        for chunk in body if isinstance(body, list) else (body,):
            heard.feed(None, chunk)
        return heard.done()

    def stream(self) -> Listener:
        """Begin to read chunks."""
        return GoogleListener()

    def can_clamp(self, body: Any) -> bool:
        """It always can."""
        return True

    def clamped(self, body: JsonObject, most: int, provider: str = "") -> JsonObject:
        """Lower the limit in its configuration, in either way to write it."""
        snake = body.get("generationConfig") is None and "generation_config" in body
        name = "generation_config" if snake else "generationConfig"
        config = lowered(record(body.get(name)), most, *_LIMITS, new=_LIMITS[0])
        return {**body, name: config}

    def messages(self, body: Any) -> tuple[Message, ...]:
        """Read the system instruction and the contents."""
        body = record(body)
        system = _readable(first(body, "systemInstruction", "system_instruction"))
        said = (
            Message(text(content.get("role")) or "user", _readable(content))
            for content in _contents(body)
        )
        return prompt(system, said)


def _contents(body: JsonObject) -> list[JsonObject]:
    """Read the contents: a list, or a single one."""
    given = body.get("contents")
    return [given] if isinstance(given, dict) else records(given)


def _parts(content: Any) -> list[JsonObject]:
    """Read the parts of a content: a list, or a single one."""
    given = record(content).get("parts")
    return [given] if isinstance(given, dict) else records(given)


def _all_parts(body: JsonObject) -> Iterator[JsonObject]:
    for content in _contents(body):
        yield from _parts(content)
    yield from _parts(first(body, "systemInstruction", "system_instruction"))


def _mime(part: JsonObject) -> str:
    """Read what kind of data a part carries, "" where it carries none."""
    inline = record(first(part, "inlineData", "inline_data"))
    return text(first(inline, "mimeType", "mime_type")).lower()


def _picture(part: JsonObject) -> str | None:
    """Read an image that the request carries, as base64."""
    inline = record(first(part, "inlineData", "inline_data"))
    return text(inline.get("data")) if _mime(part).startswith("image/") else None


def _unbounded(body: JsonObject, tools: list[JsonObject], parts: list[JsonObject]) -> str | None:
    """Say why no bound of the price can be told."""
    own = sorted({name for tool in tools for name in tool} - _OWN_TOOLS)
    if own:
        return f"server tool {own[0]}"
    if first(body, "cachedContent", "cached_content"):
        return "cached content"
    if any(first(part, "fileData", "file_data") for part in parts):
        return "file"
    kinds = {_mime(part).partition(";")[0] for part in parts}
    paged = any(kind == "application/pdf" or kind.startswith("video/") for kind in kinds)
    return "document" if paged else None  # by pages and frames, whatever little they take packed


def _tool_names(tools: list[JsonObject]) -> Iterator[str]:
    """Name the functions, and the provider's own tools by their kind."""
    for tool in tools:
        for kind, found in tool.items():
            if kind not in _OWN_TOOLS:
                yield kind
                continue
            yield from filter(None, (text(one.get("name")) for one in records(found)))


def _latest_results(body: JsonObject) -> Iterator[ToolResult]:
    """Read the function responses that follow the model's last answer."""
    contents = _contents(body)
    answers = [at for at, content in enumerate(contents) if content.get("role") == "model"]
    for content in contents[answers[-1] + 1 if answers else 0 :]:
        for part in _parts(content):
            given = record(first(part, "functionResponse", "function_response"))
            if given:
                result = written(given.get("response"))
                yield ToolResult(known(given.get("id")), known(given.get("name")), result)


def _readable(content: Any) -> str:
    """Write a content for people; what is no text stands in brackets."""
    if isinstance(content, str):
        return content
    return "\n".join(filter(None, map(_line, _parts(content))))


def _line(part: JsonObject) -> str:
    if said := text(part.get("text")):
        return said
    call = record(first(part, "functionCall", "function_call"))
    if call:
        return f"[calls {text(call.get('name'))}({written(call.get('args'))})]"
    given = record(first(part, "functionResponse", "function_response"))
    if given:
        return f"[tool result] {written(given.get('response'))}"
    data = record(first(part, "inlineData", "inline_data", "fileData", "file_data"))
    return f"[{text(first(data, 'mimeType', 'mime_type')) or 'file'}]" if data else ""


GENERATE = Generate()
