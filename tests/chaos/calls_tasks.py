"""An ordinary Celery app: tasks without a step that ask models in every way, and try again."""

from __future__ import annotations

import asyncio
import functools
import importlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery

import papayya_celery

if TYPE_CHECKING:
    import anthropic
    import openai

FOLDER = Path(os.environ["MONEY_FOLDER"])
TENANTS = 4
GPT, CLAUDE, VECTORS = "gpt-5.4-mini", "claude-haiku-4-5", "text-embedding-3-small"
CATEGORIES = ["billing", "technical", "account"]
SCHEMA = {
    "type": "object",
    "properties": {"category": {"type": "string", "enum": CATEGORIES}},
    "required": ["category"],
    "additionalProperties": False,
}
TEXT = "I was charged twice for my last invoice, the app crashes, and I want a refund. "
LONG = 80  # times the text: enough for a provider's cache
PATIENCE: dict[str, Any] = {"timeout": float(os.environ.get("MONEY_PATIENCE", "1"))}
PATIENCE |= {"max_retries": 2}

for client in os.environ.get("MONEY_CLIENTS", "").split():
    importlib.import_module(client)  # once, before the worker forks; who submits needs none


def tenant_of(name: str) -> str:
    """Spread the items over tenants."""
    return f"org-{sum(name.encode()) % TENANTS}"


app = Celery("money", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])
app.conf.update(worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)
task = functools.partial(app.task, shared=False)  # pytest imports this module more than once
papayya_celery.install(app, item="name", tenant=lambda message: tenant_of(message["name"]))


@functools.cache
def gpt() -> openai.OpenAI:
    """Return this process's client of OpenAI."""
    import openai

    return openai.OpenAI(**PATIENCE)


@functools.cache
def claude() -> anthropic.Anthropic:
    """Return this process's client of Anthropic."""
    import anthropic

    return anthropic.Anthropic(**PATIENCE)


def prompt(label: str) -> str:
    """Write what to ask; it begins with the label, by which a request is found again."""
    return f"{label}: " + TEXT * (LONG if random.Random(label).random() < 0.3 else 2)


def said(label: str) -> list[Any]:
    """Write it as a message."""
    return [{"role": "user", "content": prompt(label)}]


def headers(label: str) -> dict[str, str]:
    """Tell the provider's ledger who asks, and what."""
    return {"x-item-key": label.partition("/")[0], "idempotency-key": label}


def chat_request(label: str, **more: Any) -> Any:
    """Write a request for a chat completion."""
    usual = {"model": GPT, "messages": said(label), "max_completion_tokens": 500}
    return usual | more | {"extra_headers": headers(label)}


def message_request(label: str, **more: Any) -> Any:
    """Write a request for a message."""
    part = {"type": "text", "text": prompt(label), "cache_control": {"type": "ephemeral"}}
    asked = [{"role": "user", "content": [part]}]
    usual = {"model": CLAUDE, "messages": asked, "max_tokens": 500}
    return usual | more | {"extra_headers": headers(label)}


# -- the ways to ask; each returns the ids of its answers -----------------------------------------


def chat(label: str) -> list[str]:
    """Ask for a chat completion, with some thought."""
    return [gpt().chat.completions.create(**chat_request(label, reasoning_effort="low")).id]


def chat_json(label: str) -> list[str]:
    """Ask for JSON, and read it."""
    form = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": SCHEMA}}
    done = gpt().chat.completions.create(**chat_request(label, response_format=form))
    _categorised(json.loads(done.choices[0].message.content))
    return [done.id]


def chat_stream(label: str) -> list[str]:
    """Stream, and do not ask for the usage."""
    chunks = list(gpt().chat.completions.create(**chat_request(label, stream=True)))
    assert all(chunk.choices for chunk in chunks), "nobody asked for usage"
    return [chunks[0].id]


def chat_usage(label: str) -> list[str]:
    """Stream, and ask for the usage."""
    more = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(gpt().chat.completions.create(**chat_request(label, **more)))
    assert chunks[-1].usage is not None
    return [chunks[0].id]


def chat_left(label: str) -> list[str]:
    """Stream, and leave before the end."""
    with gpt().chat.completions.create(**chat_request(label, stream=True)) as chunks:
        return [next(iter(chunks)).id]


def samples(label: str) -> list[str]:
    """Ask for three samples in one request."""
    done = gpt().chat.completions.create(**chat_request(label, n=3))
    assert len(done.choices) == 3
    return [done.id]


def twice(label: str) -> list[str]:
    """Ask the same thing twice, and mean it."""
    ids = [gpt().chat.completions.create(**chat_request(label)).id for _ in range(2)]
    assert ids[0] != ids[1], "two samples have become one"
    return ids


def response(label: str) -> list[str]:
    """Ask for a response."""
    request: Any = {"model": GPT, "input": prompt(label), "max_output_tokens": 500}
    return [gpt().responses.create(**request, extra_headers=headers(label)).id]


def response_stream(label: str) -> list[str]:
    """Stream a response."""
    request: Any = {"model": GPT, "input": prompt(label), "max_output_tokens": 500, "stream": True}
    events: Any = list(gpt().responses.create(**request, extra_headers=headers(label)))
    return [events[0].response.id]


def vectors(label: str) -> list[str]:
    """Embed; such answers have no id."""
    request: Any = {"model": VECTORS, "input": [prompt(label), label]}
    found = gpt().embeddings.create(**request, extra_headers=headers(label))
    assert len(found.data) == 2
    return []


def message(label: str) -> list[str]:
    """Ask for a message."""
    return [claude().messages.create(**message_request(label)).id]


def message_stream(label: str) -> list[str]:
    """Stream a message, with the client's helper."""
    with claude().messages.stream(**message_request(label)) as stream:
        return [stream.get_final_message().id]


def message_tool(label: str) -> list[str]:
    """Ask for a tool call, and read it."""
    tool = {"name": "tag", "description": "Tag a ticket.", "input_schema": SCHEMA}
    choice = {"type": "tool", "name": "tag"}
    done = claude().messages.create(**message_request(label, tools=[tool], tool_choice=choice))
    _categorised(next(block.input for block in done.content if block.type == "tool_use"))
    return [done.id]


def two_at_once(label: str) -> list[str]:
    """Ask both providers at the same time, on an event loop."""
    import anthropic
    import openai

    async def ask() -> list[str]:
        async with (
            openai.AsyncOpenAI(**PATIENCE) as first,
            anthropic.AsyncAnthropic(**PATIENCE) as second,
        ):
            one, other = await asyncio.gather(
                first.chat.completions.create(**chat_request(f"{label}-a")),
                second.messages.create(**message_request(f"{label}-b")),
                return_exceptions=True,
            )
            for error in (one, other):
                if isinstance(error, BaseException):
                    raise error
            return [one.id, other.id]  # type: ignore[union-attr]

    return asyncio.run(ask())


def stream_on_loop(label: str) -> list[str]:
    """Stream a chat completion on an event loop."""
    import openai

    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(**PATIENCE) as client:
            stream: Any = await client.chat.completions.create(**chat_request(label, stream=True))
            return [chunk.id async for chunk in stream][:1]

    return asyncio.run(ask())


def _categorised(found: Any) -> None:
    """Insist on a category. Raises what asks for another answer."""
    if found["category"] not in CATEGORIES or set(found) != {"category"}:
        raise ValueError(f"{found} is no category")


WAYS: dict[str, Callable[[str], list[str]]] = {
    way.__name__: way
    for way in (
        *(chat, chat_json, chat_stream, chat_usage, chat_left, samples, twice, response),
        *(response_stream, vectors, message, message_stream, message_tool, two_at_once),
        stream_on_loop,
    )
}


# -- the tasks ------------------------------------------------------------------------------------


@task(
    name="money.ask",
    autoretry_for=(Exception,),
    max_retries=20,
    retry_kwargs={"countdown": 0},
)
def ask(name: str) -> list[str]:
    """Ask one to three times; some fail at their end, and some find an answer no good."""
    luck = random.Random(name)  # the same at each delivery
    asked = luck.choices(list(WAYS), k=luck.choice((1, 2, 3)))
    try:
        ids = [each for n, way in enumerate(asked) for each in WAYS[way](f"{name}/{n}-{way}")]
        fate = luck.random()
        if fate < 0.05 and first_time(name):
            raise KeyError("what the answers said was no good")
        if 0.05 <= fate < 0.15 and first_time(name):
            raise ConnectionError("something else failed, after all answers were there")
    except (ValueError, LookupError, TypeError, StopIteration):
        note("unusable", name)
        raise
    return ids


@task(name="money.three")
def three(name: str) -> list[str]:
    """Ask three times, one after the other."""
    return [each for word in ("first", "second", "third") for each in chat(f"{name}/{word}")]


def first_time(name: str) -> bool:
    """Tell whether this was not asked before, by any process."""
    try:
        (FOLDER / f"first-{name}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def note(what: str, name: str) -> None:
    """Write a line that outlives this process."""
    file = os.open(FOLDER / what, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, f"{name}\n".encode())
    os.close(file)
