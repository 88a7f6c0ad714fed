"""Which dialect a URL is for, and what it says of the request besides."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from papayya_core.fake_provider.ask import JsonObject
from papayya_core.fake_provider.shapes.base import Shape
from papayya_core.fake_provider.shapes.chat import CHAT
from papayya_core.fake_provider.shapes.converse import CONVERSE
from papayya_core.fake_provider.shapes.embeddings import EMBEDDINGS
from papayya_core.fake_provider.shapes.google import GOOGLE, GOOGLE_ARRAY
from papayya_core.fake_provider.shapes.invoke import INVOKE
from papayya_core.fake_provider.shapes.messages import MESSAGES
from papayya_core.fake_provider.shapes.responses import RESPONSES

_FIXED = {shape.path: shape for shape in (CHAT, RESPONSES, EMBEDDINGS, MESSAGES)}
_AZURE = re.compile(r"/openai/deployments/([^/]+)(/chat/completions|/embeddings)")
_GOOGLE = re.compile(
    r"/v1(?:alpha|beta|beta1)?/(?:projects/[^/]+/locations/[^/]+/)?(?:publishers/[^/]+/)?"
    r"models/([^/:]+):(generateContent|streamGenerateContent)"
)
_BEDROCK = re.compile(r"/model/(.+)/(converse|converse-stream|invoke|invoke-with-response-stream)")
_BEDROCK_SHAPES = {
    "converse": CONVERSE,
    "converse-stream": CONVERSE,
    "invoke": INVOKE,
    "invoke-with-response-stream": INVOKE,
}


@dataclass(frozen=True, slots=True)
class Route:
    """The dialect of a request, its path as the ledger has it, and fields that it gives."""

    shape: Shape
    path: str
    given: JsonObject = field(default_factory=dict)


def find(target: str) -> Route | None:
    """Find the route of a POST's target; None if no model is behind it."""
    url = urlsplit(target)
    path = unquote(url.path).rstrip("/")
    for match in (_fixed, _azure, _bedrock, _google):
        if route := match(path, url.query):
            return route
    return None


def _fixed(path: str, _: str) -> Route | None:
    """Match the paths without a model, with or without what providers put before them."""
    tail = path.removeprefix("/openai").removeprefix("/v1")
    shape = _FIXED.get(f"/v1{tail}")
    return Route(shape, shape.path) if shape else None


def _azure(path: str, _: str) -> Route | None:
    """Match Azure's deployments, here named as their models are."""
    found = _AZURE.fullmatch(path)
    return Route(_FIXED[f"/v1{found[2]}"], path, {"model": found[1]}) if found else None


def _bedrock(path: str, _: str) -> Route | None:
    """Match Amazon Bedrock's models."""
    found = _BEDROCK.fullmatch(path)
    if not found:
        return None
    given = {"model": found[1], "stream": found[2].endswith("stream")}
    return Route(_BEDROCK_SHAPES[found[2]], path, given)


def _google(path: str, query: str) -> Route | None:
    """Match Google's models, of the Gemini API and of Vertex."""
    found = _GOOGLE.fullmatch(path)
    if not found:
        return None
    streams = found[2] != "generateContent"
    plain = streams and parse_qs(query).get("alt") != ["sse"]
    return Route(GOOGLE_ARRAY if plain else GOOGLE, path, {"model": found[1], "stream": streams})
