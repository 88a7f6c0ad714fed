"""The wire formats of model providers: what a request asks for, and what an answer says.

Pure: no client, no connection, nothing kept. A module each.
"""

from __future__ import annotations

from papayya_llm.schemas.anthropic import MESSAGES
from papayya_llm.schemas.base import NO_HEADERS, Listener, Schema
from papayya_llm.schemas.bedrock import CONVERSE
from papayya_llm.schemas.bedrock_invoke import INVOKE
from papayya_llm.schemas.cohere import CHAT as COHERE_CHAT
from papayya_llm.schemas.google import GENERATE
from papayya_llm.schemas.hosts import forget, is_registered, provider_of, register
from papayya_llm.schemas.openai_chat import CHAT, COMPLETIONS
from papayya_llm.schemas.openai_embeddings import EMBEDDINGS
from papayya_llm.schemas.openai_responses import RESPONSES

__all__ = [
    "NO_HEADERS",
    "Listener",
    "Schema",
    "by_name",
    "find",
    "forget",
    "is_registered",
    "provider_of",
    "register",
]

_ALL: tuple[Schema, ...] = (
    CHAT,
    COMPLETIONS,
    RESPONSES,
    EMBEDDINGS,
    MESSAGES,
    GENERATE,
    CONVERSE,
    INVOKE,
    COHERE_CHAT,
)
_NAMES = {schema.name: schema for schema in _ALL}
_BY_PATH: dict[str, tuple[tuple[str, Schema], ...]] = {
    "completions": (("/chat/completions", CHAT), ("/completions", COMPLETIONS)),
    "responses": (("/responses", RESPONSES),),
    "embeddings": (("/embeddings", EMBEDDINGS),),
    "messages": (("/v1/messages", MESSAGES),),
    "chat": (("/v2/chat", COHERE_CHAT),),
    "converse": (("/converse", CONVERSE),),
    "converse-stream": (("/converse-stream", CONVERSE),),
    "invoke": (("/invoke", INVOKE),),
    "invoke-with-response-stream": (("/invoke-with-response-stream", INVOKE),),
}
"""By the last segment of a path: which endings mean which format."""
_METHODS: dict[str, Schema] = {
    "generateContent": GENERATE,
    "streamGenerateContent": GENERATE,
    "rawPredict": MESSAGES,
    "streamRawPredict": MESSAGES,
}
_OWNERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "gcp.gemini",
    "bedrock": "aws.bedrock",
    "cohere": "cohere",
}


def find(host: str, path: str, user_agent: str = "") -> tuple[Schema, str] | None:
    """Say in which format a request to this host and path is, and who the provider is.

    None: it is no model call, or nobody said that the host is a provider's.
    """
    schema = _by_path(path.partition("?")[0])
    if schema is None:
        return None
    provider = provider_of(host, user_agent)
    if provider is None:
        return None
    return schema, provider or _OWNERS[schema.name.partition(".")[0]]


def by_name(name: str) -> Schema:
    """Find the format that a row names; KeyError when there is none."""
    return _NAMES[name]


def _by_path(path: str) -> Schema | None:
    last = path.rpartition("/")[2]
    for ending, schema in _BY_PATH.get(last, ()):
        if path.endswith(ending):
            return _checked(schema, path)
    if ":" not in last:
        return None
    schema_of = _METHODS.get(last.rpartition(":")[2])
    if schema_of is MESSAGES and "/publishers/anthropic/" not in path:
        return CHAT if "/publishers/mistralai/" in path else None
    return schema_of


def _checked(schema: Schema, path: str) -> Schema | None:
    """Let Bedrock's endings count behind a model only: they are common words."""
    return schema if schema not in {CONVERSE, INVOKE} or "/model/" in path else None
