"""Which requests are model calls, in which format, and of which provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from papayya_llm import schemas

AZURE = "/openai/deployments/mini/chat/completions"
VERTEX = "/v1/projects/p/locations/l/publishers"


@pytest.fixture(autouse=True)
def _no_hosts_are_left() -> Iterator[None]:
    """Take back what a test registered."""
    yield
    schemas.forget()


@pytest.mark.parametrize(
    ("host", "path", "schema", "provider"),
    [
        ("api.openai.com", "/v1/chat/completions", "openai.chat", "openai"),
        ("API.OpenAI.com:443", "/v1/responses", "openai.responses", "openai"),
        ("api.openai.com", "/v1/embeddings", "openai.embeddings", "openai"),
        ("api.openai.com", "/v1/completions", "openai.completions", "openai"),
        ("acme.openai.azure.com", f"{AZURE}?api-version=1", "openai.chat", "azure.ai.openai"),
        ("api.anthropic.com", "/v1/messages?beta=true", "anthropic.messages", "anthropic"),
        ("api.deepseek.com", "/anthropic/v1/messages", "anthropic.messages", "deepseek"),
        ("api.deepseek.com", "/chat/completions", "openai.chat", "deepseek"),
        ("api.groq.com", "/openai/v1/chat/completions", "openai.chat", "groq"),
        ("api.together.xyz", "/v1/chat/completions", "openai.chat", "together"),
        ("openrouter.ai", "/api/v1/chat/completions", "openai.chat", "openrouter"),
        ("api.x.ai", "/v1/chat/completions", "openai.chat", "x_ai"),
        ("api.mistral.ai", "/v1/chat/completions", "openai.chat", "mistral_ai"),
        ("api.cohere.com", "/v2/chat", "cohere.chat", "cohere"),
        (
            "generativelanguage.googleapis.com",
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
            "google.generate",
            "gcp.gemini",
        ),
        (
            "us-central1-aiplatform.googleapis.com",
            f"{VERTEX}/google/models/gemini-2.5-pro:generateContent",
            "google.generate",
            "gcp.vertex_ai",
        ),
        (
            "us-east5-aiplatform.googleapis.com",
            f"{VERTEX}/anthropic/models/claude-haiku-4-5:rawPredict",
            "anthropic.messages",
            "gcp.vertex_ai",
        ),
        (
            "bedrock-runtime.us-east-1.amazonaws.com",
            "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse-stream",
            "bedrock.converse",
            "aws.bedrock",
        ),
        (
            "bedrock-runtime.eu-west-1.amazonaws.com",
            "/model/m/invoke-with-response-stream",
            "bedrock.invoke",
            "aws.bedrock",
        ),
    ],
)
def test_known_hosts(host: str, path: str, schema: str, provider: str) -> None:
    """A provider's own host needs no word from the client."""
    found = schemas.find(host, path)
    assert found is not None
    assert (found[0].name, found[1]) == (schema, provider)


@pytest.mark.parametrize(
    ("user_agent", "path", "provider"),
    [
        ("OpenAI/Python 3.52.0", "/v1/chat/completions", "openai"),
        ("AsyncOpenAI/Python 3.52.0", "/v1/responses", "openai"),
        ("AsyncAzureOpenAI/Python 3.52.0", AZURE, "azure.ai.openai"),
        ("AsyncAnthropic/Python 2.11.0", "/v1/messages", "anthropic"),
        ("AnthropicBedrock/Python 2.11.0", "/model/m/invoke", "aws.bedrock"),
        ("Groq/Python 1.7.0", "/openai/v1/chat/completions", "groq"),
        ("AsyncTogether/Python 3.1.0", "/v1/chat/completions", "together"),
        ("mistral-client-python/3.1.0", "/v1/chat/completions", "mistral_ai"),
        (
            "google-genai-sdk/3.4.0 gl-python/3.11.7",
            "/v1beta/models/m:generateContent",
            "gcp.gemini",
        ),
        ("litellm/1.106.0", "/v1/messages", "anthropic"),
        ("litellm/1.106.0", "/v1/chat/completions", "openai"),
        ("Agents/Python 0.9", "/v1/responses", "openai"),
    ],
)
def test_known_clients(user_agent: str, path: str, provider: str) -> None:
    """A known client makes any host a provider's: a proxy, a gateway, a stand-in."""
    found = schemas.find("127.0.0.1:8080", path, user_agent)
    assert found is not None
    assert found[1] == provider
    assert schemas.find("127.0.0.1:8080", path, "python-httpx2/1.0") is None


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("api.openai.com", "/v1/files"),
        ("api.openai.com", "/v1/responses/resp_1/cancel"),
        ("api.openai.com", "/v1/threads/t/messages"),
        ("api.anthropic.com", "/v1/messages/count_tokens"),
        ("api.anthropic.com", "/v1/messages/batches"),
        ("generativelanguage.googleapis.com", "/v1beta/models/m:countTokens"),
        ("us-east5-aiplatform.googleapis.com", f"{VERTEX}/meta/models/llama:rawPredict"),
        ("api.cohere.com", "/v1/chat"),
        ("evil-api.openai.com.example.org", "/v1/chat/completions"),
        ("notopenrouter.ai", "/v1/chat/completions"),
        ("lambda.us-east-1.amazonaws.com", "/functions/f/invoke"),
        ("api.openai.com", "/invoke"),
        ("example.com", "/"),
        ("", ""),
    ],
)
def test_others_are_left_alone(host: str, path: str) -> None:
    """Other paths and hosts are no model calls."""
    assert schemas.find(host, path) is None


@pytest.mark.parametrize(
    ("made_known", "host"),
    [
        ("llm.example.com", "LLM.example.com:8443"),
        ("llm.example.com:8443", "llm.example.com:8443"),
        ("*.example.com", "eu.llm.example.com"),
        ("::1", "[::1]:8080"),
        ("::1", "::1"),
    ],
)
def test_registered(made_known: str, host: str) -> None:
    """A host made known is a provider's, whatever the client; its format tells which."""
    path = "/proxy/v1/chat/completions"
    assert schemas.find(host, path) is None
    schemas.register(made_known)
    found = schemas.find(host, path)
    assert found is not None
    assert (found[0].name, found[1], schemas.is_registered(host)) == ("openai.chat", "openai", True)
    schemas.register(made_known, "acme")
    assert schemas.find(host, path) == (found[0], "acme")
    schemas.forget(made_known)
    assert schemas.find(host, path) is None


def test_another_port() -> None:
    """A host made known with its port is not known on another."""
    schemas.register("llm.example.com:8443")
    assert schemas.find("llm.example.com:80", "/v1/chat/completions") is None


def test_by_name() -> None:
    """Each format is found by the name that its rows carry."""
    names = ["openai.chat", "openai.completions", "openai.responses", "openai.embeddings"]
    names += ["anthropic.messages", "google.generate", "bedrock.converse", "bedrock.invoke"]
    for name in [*names, "cohere.chat"]:
        assert schemas.by_name(name).name == name
    with pytest.raises(KeyError):
        schemas.by_name("openai.batches")
