"""A program that handles keys carelessly, in every place where it can: leaky.py KEYS [--again].

KEYS is a file with a list of [kind, text, secret]. The first time every item fails at its end; the
second time (--again) the same items go on to theirs. It prints only how they ended.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import anthropic
import boto3  # type: ignore[import-untyped]
import httpx
import openai
from google import genai

from papayya import CheckContext, Finding, Paused, Reject, agent, configure, hookimpl, run

URL = os.environ["OPENAI_BASE_URL"].removesuffix("/v1")
AGAIN = sys.argv[2:] == ["--again"]
GPT, CLAUDE, GEMINI = "gpt-5.4-mini", "claude-sonnet-5", "gemini-2.5-flash"
NOVA = "anthropic.claude-haiku-4-5-20251001-v1:0"
CUTS = (0, 430, 440)  # so that a text of ours is cut inside a key


class Key(NamedTuple):
    """A key, as the tests make it."""

    kind: str
    text: str
    secret: str

    @property
    def line(self) -> str:
        """What can stand in a header."""
        return " ".join(self.text.split())


OPENAI = openai.OpenAI(api_key="none", base_url=f"{URL}/v1", max_retries=0)
HASTY = openai.AsyncOpenAI(api_key="none", base_url=f"{URL}/v1")
ANTHROPIC = anthropic.Anthropic(api_key="none", base_url=URL, max_retries=0)
KEYS = [Key(*one) for one in json.loads(Path(sys.argv[1]).read_text("utf-8"))]
INPUTS = [{"number": at, "note": key.text, "password": key.secret} for at, key in enumerate(KEYS)]


class Careless:
    """A plugin that finds, logs and complains with keys."""

    @hookimpl
    def check(self, context: CheckContext) -> list[Finding]:
        """Find a key, and say so."""
        number = re.match(r"key-(\d+)", context.key)
        key = KEYS[int(number[1]) if number else 0]
        if AGAIN and key.kind == "openai":
            raise ValueError(f"no check for {key.text}")
        evidence = {"seen": [key.text, {"secret": key.secret}], key.text: 1}
        return [Finding("leak", "degraded", f"it says {key.text}", evidence)]

    @hookimpl
    def on_transition(self, transition: object) -> None:
        """Fail, which is logged."""
        raise RuntimeError(f"cannot tell {KEYS[0].text} and {KEYS[-1].text}")


def chat(key: Key, client: openai.OpenAI, *, before: str = "", **more: Any) -> str:
    """Ask with the key in every part of a request."""
    call = {"name": "find", "arguments": json.dumps({"token": key.text})}
    wanted = {
        "role": "assistant",
        "tool_calls": [{"id": "t1", "type": "function", "function": call}],
    }
    messages: Any = [
        {"role": "system", "content": f"You are called by {key.text}"},
        {"role": "user", "content": f"{before}My key is {key.text}."},
        wanted,
        {"role": "tool", "tool_call_id": "t1", "content": f"found {key.text}"},
    ]
    answer: Any = client.chat.completions.create(
        model=GPT,
        messages=messages,
        user=key.line,
        metadata={"from": key.line[:500]},
        extra_headers={"x-custom": key.line, **more.pop("extra_headers", {})},
        extra_query={"key": key.line},
        **more,
    )
    if more.get("stream"):
        return "".join(each.choices[0].delta.content or "" for each in answer if each.choices)
    return answer.choices[0].message.content or ""


def echoed(key: Key, client: openai.OpenAI) -> None:
    """Be told the key by an error of the provider."""
    for cut in CUTS:
        effort = f"{'x' * cut} {key.text}"
        with suppress(openai.BadRequestError):
            chat(key, client, reasoning_effort=effort)


def talk(key: Key, client: anthropic.Anthropic) -> str:
    """Ask Anthropic, streaming."""
    messages: Any = [
        {"role": "user", "content": f"Use {key.text}"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {"key": key.text}}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t1", "content": key.text}],
        },
    ]
    asked: Any = {"model": CLAUDE, "max_tokens": 50, "messages": messages}
    with suppress(anthropic.APIStatusError):
        client.messages.create(**{**asked, "thinking": {"type": key.text}})
    with client.messages.stream(**asked) as stream:
        return stream.get_final_text()


def bare(key: Key) -> str:
    """Ask with nothing but an HTTP client; then fail with the URL in the message."""
    auth = {"authorization": f"Bearer {key.line}", "x-api-key": key.line, "cookie": key.line}
    body = {"model": GPT, "messages": [{"role": "user", "content": key.text}]}
    where = f"{URL}/v1/chat/completions"
    with httpx.Client(headers=auth, params={"key": key.line}, verify=False) as client:
        with suppress(httpx.HTTPStatusError):
            fault = {"x-fake-fault": "server_error"}
            client.post(where, json=body, headers=fault).raise_for_status()
        with suppress(httpx.HTTPError):
            fault = {"x-fake-fault": "reset"}
            client.post(where, json={**body, "user": key.text}, headers=fault)
        with suppress(httpx.HTTPError):
            fault = {"x-fake-fault": "cut_stream"}
            client.post(where, json={**body, "stream": True}, headers=fault)
        return str(client.post(where, json=body).json()["choices"][0]["message"]["content"])


def google(key: Key) -> str:
    """Ask Google with a key of its own."""
    with genai.Client(api_key=key.line, http_options={"base_url": URL}) as client:
        return client.models.generate_content(model=GEMINI, contents=key.text).text or ""


def amazon(key: Key) -> str:
    """Ask Amazon with credentials of its own."""
    own = {"aws_access_key_id": key.line, "aws_secret_access_key": key.line}
    client = boto3.client("bedrock-runtime", "us-east-1", endpoint_url=URL, **own)
    messages = [{"role": "user", "content": [{"text": key.text}]}]
    said = client.converse(modelId=NOVA, messages=messages)
    return str(said["output"]["message"]["content"][0]["text"])


TRIES: Counter[str] = Counter()


def flaky(text: str) -> str:
    """Fail once, with the key; then give it back."""
    TRIES[text] += 1
    if TRIES[text] == 1:
        raise ConnectionError(f"{'y' * 280} {text} was refused")
    return f"done with {text}"


def refusing(text: str) -> None:
    """Fail for good."""
    raise Reject(f"not with {text}: {{'secret': '{text}'}}")


@run.tool("lookup")
def lookup(query: str, *, secret: str) -> dict[str, str]:
    """Look something up that is a key."""
    return {"result": query, "secret": secret}


@run.tool("broken")
def broken(query: str) -> None:
    """Fail with what was asked."""
    raise ValueError(f"{'z' * 480} {query}")


def name(item: dict[str, Any]) -> str:
    """Name an item so that the checks find its key."""
    return f"key-{item['number']}"


def nameless(item: dict[str, Any]) -> str:
    """Fail to name an item."""
    raise LookupError(f"{item['note']} is no name")


@agent(instructions=f"Never say {KEYS[1].text}", tools=[lookup])
def careless(item: dict[str, Any]) -> dict[str, Any]:
    """Do everything that may leak the key."""
    key = KEYS[item["number"]]
    said: list[Any] = [lookup(key.text, secret=key.secret)]
    with suppress(ValueError):
        broken(key.text)
    said.append(run.task("flaky", flaky, key.text))
    with suppress(Reject):
        run.task("refusing", refusing, key.text)
    client = OPENAI.with_options(api_key=key.line)
    said.append(run.task("chat", chat, key, client))
    said.append(chat(key, client, stream=True))
    refusal = {"x-fake-fault": f"refusal;text={key.line.replace(';', ' ')}"}
    said.append(chat(key, client, before=f"{AGAIN} ", extra_headers=refusal))
    if not AGAIN:
        echoed(key, client)
    said.append(talk(key, ANTHROPIC.with_options(api_key=key.line)))
    said.append(bare(key))
    if item["number"] % 8 == 0:
        said += [google(key), amazon(key)]
    if not AGAIN:
        raise RuntimeError(f"{'w' * (250 + item['number'])} {key.text} does not work")
    return {"said": said, "key": key.text, "password": key.secret}


@agent
async def hasty(item: dict[str, Any]) -> str:
    """Ask on an event loop, and fail with the key the first time."""
    key = KEYS[item["number"]]
    client = HASTY.with_options(api_key=key.line)
    messages: Any = [{"role": "user", "content": f"{AGAIN} {key.text}"}]
    answer = await client.chat.completions.create(model=GPT, messages=messages)
    if not AGAIN:
        raise LookupError(key.text)
    return f"{answer.choices[0].message.content} {key.text}"


@agent
def nobody(item: dict[str, Any]) -> None:
    """Never run: nobody can name its items."""


@agent
def parked(item: dict[str, Any]) -> None:
    """Be parked because of a key."""
    if not AGAIN:
        raise Paused(f"until {item['note']} is changed")


def failing() -> Iterator[dict[str, Any]]:
    """Give an input, and fail with a key."""
    yield INPUTS[0]
    raise LookupError(f"no more of {KEYS[0].text}")


@agent
def unnamed(text: str) -> str:
    """Be named by its own input."""
    return text


async def hurry() -> list[str]:
    """Run the items on an event loop."""
    async with HASTY:
        return [one.state async for one in hasty.amap(INPUTS, item=name)]


def main() -> None:
    """Run everything, and log all that we log."""
    told = logging.getLogger("papayya")
    told.addHandler(logging.StreamHandler())
    told.setLevel(logging.DEBUG)
    configure(plugins=[Careless()])
    with run("leaky", run_id="leaky"):
        found = list(careless.map(INPUTS, tenant="acme", item=name, concurrency=8))
        states = [one.state for one in found] + asyncio.run(hurry())
        states += [one.state for one in nobody.map(INPUTS, item=nameless)]
        states += [one.state for one in parked.map(INPUTS[:2], item=name)]
        with suppress(LookupError):
            list(nobody.map(failing()))
    unnamed(KEYS[0].text)
    unnamed(KEYS[0].text)  # which is warned of
    sys.stdout.write(f"{json.dumps(Counter(states))}\n")


main()
