"""Who is behind a host: providers we know, clients that say who they are, hosts made known."""

from __future__ import annotations

import re

_EXACT = {
    "api.openai.com": "openai",
    "eu.api.openai.com": "openai",
    "us.api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "codestral.mistral.ai": "mistral_ai",
    "api.deepseek.com": "deepseek",
    "api.x.ai": "x_ai",
    "api.perplexity.ai": "perplexity",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "openrouter.ai": "openrouter",
    "api.fireworks.ai": "fireworks",
    "api.cerebras.ai": "cerebras",
    "api.moonshot.ai": "moonshot_ai",
    "api.moonshot.cn": "moonshot_ai",
    "api.z.ai": "zai",
    "api.minimax.io": "minimax",
    "api.novita.ai": "novita",
    "api.voyageai.com": "voyageai",
    "api.deepinfra.com": "deepinfra",
    "api.sambanova.ai": "sambanova",
    "router.huggingface.co": "huggingface",
    "models.github.ai": "github",
    "models.inference.ai.azure.com": "azure.ai.inference",
    "dashscope.aliyuncs.com": "alibaba",
    "dashscope-intl.aliyuncs.com": "alibaba",
}
_ENDINGS = (
    (".openai.azure.com", "azure.ai.openai"),
    (".cognitiveservices.azure.com", "azure.ai.openai"),
    (".services.ai.azure.com", "azure.ai.inference"),
    (".models.ai.azure.com", "azure.ai.inference"),
    ("-aiplatform.googleapis.com", "gcp.vertex_ai"),
    (".aiplatform.googleapis.com", "gcp.vertex_ai"),
    (".rep.googleapis.com", "gcp.vertex_ai"),
    (".cohere.com", "cohere"),
    (".mistral.ai", "mistral_ai"),
    (".x.ai", "x_ai"),
)
_BEDROCK = re.compile(
    r"bedrock-(?:runtime|mantle)(?:-fips)?\.[a-z0-9-]+\.(?:amazonaws\.com|amazonaws\.com\.cn|api\.aws)"
    r"|vpce-[a-z0-9-]+\.bedrock-runtime\.[a-z0-9-]+\.vpce\.amazonaws\.com"
)
_CLIENTS = {
    "openai": "",
    "azureopenai": "azure.ai.openai",
    "bedrockopenai": "aws.bedrock",
    "anthropic": "anthropic",
    "anthropicaws": "anthropic",
    "anthropicbedrock": "aws.bedrock",
    "anthropicbedrockmantle": "aws.bedrock",
    "boto3": "aws.bedrock",
    "botocore": "aws.bedrock",
    "anthropicgooglecloud": "gcp.vertex_ai",
    "anthropicfoundry": "azure.ai.inference",
    "anthropicvertex": "gcp.vertex_ai",
    "google-genai-sdk": "gcp.gemini",
    "langchain-google-genai": "gcp.gemini",
    "langchain-google-vertexai": "gcp.vertex_ai",
    "groq": "groq",
    "together": "together",
    "cerebras": "cerebras",
    "perplexity": "perplexity",
    "fireworks": "fireworks",
    "mistral-client-python": "mistral_ai",
    "cohere": "cohere",
    "litellm": "",
    "agents": "",
    "pydantic-ai": "",
}
"""The first word of a User-Agent, without ``Async``; "" speaks to anyone, in anyone's format."""

_made_known: dict[str, str] = {}


def register(host: str, provider: str = "") -> None:
    """Make a host known, with or without its port; ``*.example.com`` stands for all below it."""
    _made_known[host.lower()] = provider


def forget(host: str | None = None) -> None:
    """Take back one registration, or all."""
    if host is None:
        _made_known.clear()
    else:
        _made_known.pop(host.lower(), None)


def provider_of(host: str, user_agent: str = "") -> str | None:
    """Name the provider behind a host; "" when only its format tells, None when unknown."""
    host = host.lower()
    made_known = _registered(host)
    if made_known is not None:
        return made_known
    bare = _bare(host)
    if bare in _EXACT:
        return _EXACT[bare]
    for ending, provider in _ENDINGS:
        if bare.endswith(ending):
            return provider
    if _BEDROCK.fullmatch(bare):
        return "aws.bedrock"
    return _CLIENTS.get(user_agent.partition("/")[0].lower().removeprefix("async"))


def is_registered(host: str) -> bool:
    """Whether the user made this host known."""
    return _registered(host.lower()) is not None


def _registered(host: str) -> str | None:
    """Find a registration: of the host with its port, without, or of one of its parents."""
    if not _made_known:
        return None
    bare = _bare(host)
    labels = bare.split(".")
    parents = ("*." + ".".join(labels[at:]) for at in range(1, len(labels)))
    for name in (host, bare, *parents):
        if name in _made_known:
            return _made_known[name]
    return None


def _bare(host: str) -> str:
    """Take off a port; an IPv6 address in brackets keeps its colons."""
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[")
    return host.partition(":")[0] if host.count(":") == 1 else host
