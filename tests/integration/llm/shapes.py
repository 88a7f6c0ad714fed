"""Ways to ask a model: {client x sync or async x stream or not x raw or helper}.

Each takes the stand-in's URL and returns what its caller would go on with, comparable by ``==``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import anthropic
import boto3  # type: ignore[import-untyped]
import httpx
import httpx2
import openai
from google import genai
from pydantic import BaseModel

from tests.integration.llm.world import BEDROCK, CLAUDE, GEMINI, GPT, TICKET

KEY = "sk-test-org-aa"
ASK: Any = {"model": GPT, "messages": [{"role": "user", "content": TICKET}]}
ASK_CLAUDE: Any = {**ASK, "model": CLAUDE, "max_tokens": 200}
ASK_RESPONSES: Any = {"model": GPT, "input": TICKET}
STREAM: Any = {"stream": True, "stream_options": {"include_usage": True}}
EMBED: Any = {"model": "text-embedding-3-small", "input": [TICKET, "and another"]}
SAY: Any = [{"role": "user", "content": [{"text": TICKET}]}]

SYNC: dict[str, Callable[[str], Any]] = {}
ASYNC: dict[str, Callable[[str], Any]] = {}


class Tag(BaseModel):
    """An answer with a form."""

    category: str
    reason: str


def sync(fn: Callable[[str], Any]) -> Callable[[str], Any]:
    """Add a shape."""
    SYNC[fn.__name__] = fn
    return fn


def asynchronous(fn: Callable[[str], Any]) -> Callable[[str], Any]:
    """Add a shape for an event loop."""
    ASYNC[fn.__name__] = fn
    return fn


def gpt(url: str) -> openai.OpenAI:
    """Make OpenAI's client."""
    return openai.OpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0)


def agpt(url: str) -> openai.AsyncOpenAI:
    """Make OpenAI's client for an event loop."""
    return openai.AsyncOpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0)


def claude(url: str) -> anthropic.Anthropic:
    """Make Anthropic's client."""
    return anthropic.Anthropic(api_key=KEY, base_url=url, max_retries=0)


def aclaude(url: str) -> anthropic.AsyncAnthropic:
    """Make Anthropic's client for an event loop."""
    return anthropic.AsyncAnthropic(api_key=KEY, base_url=url, max_retries=0)


def gemini(url: str) -> genai.Client:
    """Make Google's client."""
    return genai.Client(api_key=KEY, http_options={"base_url": url})


def bedrock(url: str) -> Any:
    """Make Amazon's client."""
    own = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("bedrock-runtime", "us-east-1", endpoint_url=url, **own)


def dump(value: Any) -> Any:
    """Turn an answer into plain data."""
    return value.model_dump() if isinstance(value, BaseModel) else value


# -- OpenAI, sync ----------------------------------------------------------------------------------


@sync
def chat(url: str) -> Any:
    with gpt(url) as client:
        return dump(client.chat.completions.create(**ASK))


@sync
def chat_samples(url: str) -> Any:
    with gpt(url) as client:
        return dump(client.chat.completions.create(**ASK, n=2))


@sync
def chat_parse(url: str) -> Any:
    with gpt(url) as client:
        found = client.chat.completions.parse(**ASK, response_format=Tag)
        return found.choices[0].message.parsed, found.id


@sync
def chat_raw(url: str) -> Any:
    with gpt(url) as client:
        raw = client.chat.completions.with_raw_response.create(**ASK)
        return raw.status_code, raw.content, raw.request_id, raw.http_version, dump(raw.parse())


@sync
def chat_streaming_response(url: str) -> Any:
    with gpt(url) as client:
        request = client.chat.completions.with_streaming_response.create(**ASK)
        with request as response:
            return b"".join(response.iter_bytes()), response.headers["content-type"]


@sync
def chat_stream(url: str) -> Any:
    with gpt(url) as client:
        return [dump(chunk) for chunk in client.chat.completions.create(**ASK, stream=True)]


@sync
def chat_stream_with_usage(url: str) -> Any:
    options: Any = {"include_usage": True}
    with gpt(url) as client:
        stream = client.chat.completions.create(**ASK, stream=True, stream_options=options)
        return [dump(chunk) for chunk in stream]


@sync
def chat_stream_helper(url: str) -> Any:
    with gpt(url) as client, client.chat.completions.stream(**ASK) as stream:
        return [event.type for event in stream], dump(stream.get_final_completion())


@sync
def chat_stream_raw(url: str) -> Any:
    with gpt(url) as client:
        raw = client.chat.completions.with_raw_response.create(**ASK, stream=True)
        return [dump(chunk) for chunk in raw.parse()]


@sync
def responses(url: str) -> Any:
    with gpt(url) as client:
        return dump(client.responses.create(**ASK_RESPONSES))


@sync
def responses_stream(url: str) -> Any:
    with gpt(url) as client:
        return [dump(event) for event in client.responses.create(**ASK_RESPONSES, stream=True)]


@sync
def responses_stream_helper(url: str) -> Any:
    with gpt(url) as client, client.responses.stream(**ASK_RESPONSES) as stream:
        return [event.type for event in stream], dump(stream.get_final_response())


@sync
def embeddings(url: str) -> Any:
    with gpt(url) as client:
        return dump(client.embeddings.create(**EMBED))


# -- OpenAI, async ---------------------------------------------------------------------------------


@asynchronous
async def achat(url: str) -> Any:
    async with agpt(url) as client:
        return dump(await client.chat.completions.create(**ASK))


@asynchronous
async def achat_raw(url: str) -> Any:
    async with agpt(url) as client:
        raw = await client.chat.completions.with_raw_response.create(**ASK)
        return raw.status_code, raw.content, raw.request_id, dump(raw.parse())


@asynchronous
async def achat_streaming_response(url: str) -> Any:
    async with agpt(url) as client:
        request = client.chat.completions.with_streaming_response.create(**ASK)
        async with request as response:
            return b"".join([chunk async for chunk in response.iter_bytes()])


@asynchronous
async def achat_stream(url: str) -> Any:
    async with agpt(url) as client:
        stream = await client.chat.completions.create(**ASK, stream=True)
        return [dump(chunk) async for chunk in stream]


@asynchronous
async def achat_stream_helper(url: str) -> Any:
    async with agpt(url) as client, client.chat.completions.stream(**ASK) as stream:
        seen = [event.type async for event in stream]
        return seen, dump(await stream.get_final_completion())


@asynchronous
async def aresponses(url: str) -> Any:
    async with agpt(url) as client:
        return dump(await client.responses.create(**ASK_RESPONSES))


@asynchronous
async def aresponses_stream(url: str) -> Any:
    async with agpt(url) as client:
        stream = await client.responses.create(**ASK_RESPONSES, stream=True)
        return [dump(event) async for event in stream]


@asynchronous
async def aembeddings(url: str) -> Any:
    async with agpt(url) as client:
        return dump(await client.embeddings.create(**EMBED))


# -- Anthropic -------------------------------------------------------------------------------------


@sync
def messages(url: str) -> Any:
    with claude(url) as client:
        return dump(client.messages.create(**ASK_CLAUDE))


@sync
def messages_raw(url: str) -> Any:
    with claude(url) as client:
        raw = client.messages.with_raw_response.create(**ASK_CLAUDE)
        return raw.status_code, raw.request_id, dump(raw.parse())


@sync
def messages_stream(url: str) -> Any:
    with claude(url) as client:
        return [dump(event) for event in client.messages.create(**ASK_CLAUDE, stream=True)]


@sync
def messages_stream_helper(url: str) -> Any:
    with claude(url) as client, client.messages.stream(**ASK_CLAUDE) as stream:
        return list(stream.text_stream), dump(stream.get_final_message())


@asynchronous
async def amessages(url: str) -> Any:
    async with aclaude(url) as client:
        return dump(await client.messages.create(**ASK_CLAUDE))


@asynchronous
async def amessages_stream(url: str) -> Any:
    async with aclaude(url) as client:
        stream = await client.messages.create(**ASK_CLAUDE, stream=True)
        return [dump(event) async for event in stream]


@asynchronous
async def amessages_stream_helper(url: str) -> Any:
    async with aclaude(url) as client, client.messages.stream(**ASK_CLAUDE) as stream:
        return [text async for text in stream.text_stream], dump(await stream.get_final_message())


# -- Google ----------------------------------------------------------------------------------------


def _without_http(found: Any) -> Any:
    return {name: value for name, value in dump(found).items() if name != "sdk_http_response"}


@sync
def google(url: str) -> Any:
    with closing(gemini(url)) as client:
        return _without_http(client.models.generate_content(model=GEMINI, contents=TICKET))


@sync
def google_stream(url: str) -> Any:
    with closing(gemini(url)) as client:
        stream = client.models.generate_content_stream(model=GEMINI, contents=TICKET)
        return [_without_http(chunk) for chunk in stream]


@asynchronous
async def agoogle(url: str) -> Any:
    client = gemini(url).aio
    try:
        return _without_http(await client.models.generate_content(model=GEMINI, contents=TICKET))
    finally:
        await client.aclose()


@asynchronous
async def agoogle_stream(url: str) -> Any:
    client = gemini(url).aio
    try:
        stream = await client.models.generate_content_stream(model=GEMINI, contents=TICKET)
        return [_without_http(chunk) async for chunk in stream]
    finally:
        await client.aclose()


# -- Amazon Bedrock --------------------------------------------------------------------------------


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "ResponseMetadata"}


@sync
def converse(url: str) -> Any:
    with closing(bedrock(url)) as client:
        return _plain(client.converse(modelId=BEDROCK, messages=SAY))


@sync
def converse_stream(url: str) -> Any:
    with closing(bedrock(url)) as client:
        return list(client.converse_stream(modelId=BEDROCK, messages=SAY)["stream"])


_INVOKE = json.dumps(
    {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 200, "messages": ASK["messages"]}
)


@sync
def invoke(url: str) -> Any:
    with closing(bedrock(url)) as client:
        found = client.invoke_model(modelId=BEDROCK, body=_INVOKE)
        return found["body"].read(), found["contentType"]


@sync
def invoke_lines(url: str) -> Any:
    with closing(bedrock(url)) as client:
        return list(client.invoke_model(modelId=BEDROCK, body=_INVOKE)["body"].iter_lines())


@sync
def invoke_stream(url: str) -> Any:
    with closing(bedrock(url)) as client:
        found = client.invoke_model_with_response_stream(modelId=BEDROCK, body=_INVOKE)
        return list(found["body"])


def claude_on_bedrock(url: str) -> anthropic.AnthropicBedrock:
    """Make Anthropic's client for Bedrock."""
    return anthropic.AnthropicBedrock(
        aws_access_key="test",
        aws_secret_key="test",
        aws_region="us-east-1",
        base_url=url,
        max_retries=0,
    )


_ASK_BEDROCK: Any = ASK_CLAUDE | {"model": BEDROCK}


@sync
def bedrock_messages(url: str) -> Any:
    with claude_on_bedrock(url) as client:
        return dump(client.messages.create(**_ASK_BEDROCK))


@sync
def bedrock_messages_stream(url: str) -> Any:
    with claude_on_bedrock(url) as client:
        return [dump(event) for event in client.messages.create(**_ASK_BEDROCK, stream=True)]


@sync
def azure(url: str) -> Any:
    version = "2025-01-01"
    with openai.AzureOpenAI(api_key=KEY, azure_endpoint=url, api_version=version) as client:
        return [dump(chunk) for chunk in client.chat.completions.create(**ASK, stream=True)]


# -- no SDK at all ---------------------------------------------------------------------------------


def _post(library: Any, url: str) -> Any:
    with library.Client() as client:
        found = client.post(f"{url}/v1/chat/completions", json=ASK)
        return found.status_code, found.content, found.elapsed.total_seconds() >= 0


def _stream(library: Any, url: str) -> Any:
    body = ASK | {"stream": True}
    with library.Client() as client:
        request = client.stream("POST", f"{url}/v1/chat/completions", json=body)
        with request as response:
            return list(response.iter_lines())


@sync
def raw_httpx(url: str) -> Any:
    return _post(httpx, url)


@sync
def raw_httpx2(url: str) -> Any:
    return _post(httpx2, url)


@sync
def raw_httpx_stream(url: str) -> Any:
    return _stream(httpx, url)


@sync
def raw_httpx2_stream(url: str) -> Any:
    return _stream(httpx2, url)


@sync
def raw_httpx2_stream_at_once(url: str) -> Any:
    return httpx2.post(f"{url}/v1/chat/completions", json=ASK | STREAM).text


@sync
def raw_httpx2_gzip_read_late(url: str) -> Any:
    headers = {"x-fake-gzip": "1"}
    with httpx2.stream("POST", f"{url}/v1/chat/completions", json=ASK, headers=headers) as it:
        return b"".join(it.iter_bytes()), it.elapsed.total_seconds() >= 0


@sync
def raw_httpx_gzip(url: str) -> Any:
    return httpx.post(f"{url}/v1/chat/completions", json=ASK, headers={"x-fake-gzip": "1"}).content


@sync
def raw_httpx2_gzip_stream(url: str) -> Any:
    with httpx2.stream(
        "POST",
        f"{url}/v1/chat/completions",
        json=ASK | STREAM,
        headers={"x-fake-gzip": "1"},
    ) as it:
        return "".join(it.iter_text())


@asynchronous
async def araw_httpx(url: str) -> Any:
    async with httpx.AsyncClient() as client:
        return (await client.post(f"{url}/v1/chat/completions", json=ASK)).json()


@asynchronous
async def araw_httpx_stream(url: str) -> Any:
    body = ASK | {"stream": True}
    async with httpx.AsyncClient() as client:
        request = client.stream("POST", f"{url}/v1/chat/completions", json=body)
        async with request as response:
            return b"".join([chunk async for chunk in response.aiter_raw()])
