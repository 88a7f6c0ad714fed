"""What OpenAI's formats share: parts of messages, tools, images, files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from papayya_core.call import Message
from papayya_llm.schemas.base import JsonObject, first, known, record, records, text, written

VOLATILE = frozenset(
    {
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "stream_options",
        "user",
    }
)
"""They change who is told what, how fast and at which price, not what is asked for."""


class Pictures(NamedTuple):
    """Images of a request, and how many bytes of its body they are."""

    images: int
    size: int


def parts(messages: Iterable[JsonObject]) -> Iterator[JsonObject]:
    """Go through the parts of all messages, and of tools' outputs."""
    for message in messages:
        for name in ("content", "output"):
            if isinstance(message.get(name), list):
                yield from records(message[name])


def pictures(found: Iterable[JsonObject]) -> Pictures:
    """Count the images among parts."""
    images = size = 0
    for part in found:
        if text(part.get("type")) in {"image_url", "input_image"}:
            images += 1
            place = part.get("image_url")
            url = text(place["url"] if isinstance(place, dict) and "url" in place else place)
            size += len(url) if url.startswith("data:") else 0
    return Pictures(images, size)


def names_file(part: JsonObject) -> bool:
    """Whether a part stands for a file that the provider keeps or fetches."""
    if part.get("file_id") or part.get("file_url"):
        return True
    return "file" in part and bool(first(record(part["file"]), "file_id", "file_url"))


def why_unbounded(body: JsonObject, found: Iterable[JsonObject]) -> str | None:
    """Say why what a request carries has no bound: its bytes do not tell what they cost.

    Pages of a document are read as text and as images, whatever little they take packed.
    """
    given = list(found)
    if any(map(names_file, given)):
        return "file"
    if any("file_data" in part or "file_data" in record(part.get("file")) for part in given):
        return "document"
    return "priority" if body.get("service_tier") == "priority" else None


def tool_names(tools: Any) -> tuple[str, ...]:
    """Name the tools offered: functions by name, the provider's own by their type."""
    named = []
    for tool in records(tools):
        inner = record(tool.get("function") or tool.get("custom"))
        named.append(known(tool.get("name")) or known(inner.get("name")) or text(tool.get("type")))
    return tuple(name for name in named if name)


def readable(content: Any) -> str:
    """Write a message's content for people; what is no text stands in brackets."""
    if isinstance(content, str):
        return content
    return "\n".join(line for part in records(content) if (line := _line(part)))


def _line(part: JsonObject) -> str:
    said = first_text(part)
    kind = text(part.get("type")).removeprefix("input_").removesuffix("_url")
    return said or (f"[{kind}]" if kind and kind not in {"text", "output_text"} else "")


def first_text(part: JsonObject) -> str:
    """Read a part's text, whichever kind of text it is."""
    return text(part.get("text")) or text(part.get("refusal"))


def called(name: object, arguments: object) -> str:
    """Write a tool call for people."""
    return f"[calls {text(name)}({written(arguments)})]"


def lines(role: object, *pieces: str) -> Message:
    """Write a message of several pieces."""
    return Message(text(role) or "user", "\n".join(piece for piece in pieces if piece))
