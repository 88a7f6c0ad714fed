"""Streams pass as they come, and are settled once, however they end."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

import papayya_llm
from papayya_core.runtime import runtime
from papayya_llm import asking, schemas
from tests.integration.llm import shapes
from tests.integration.llm.shapes import ASK, ASK_CLAUDE, KEY
from tests.integration.llm.world import BEDROCK, World, until


def chunk(**fields: Any) -> bytes:
    """Write one event of a chat stream."""
    found = {"id": "c-1", "object": "chat.completion.chunk", "model": "gpt-5.4-mini", **fields}
    return b"data: " + json.dumps(found).encode() + b"\n\n"


def says(text: str) -> bytes:
    """Write an event with a piece of the answer."""
    return chunk(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}])


STOP = chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
USAGE = chunk(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11})
DONE = b"data: [DONE]\n\n"
WHOLE = [says("Hello, dear"), says(" reader"), STOP, USAGE, DONE]


class Pieces(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that comes in pieces, for both kinds of clients."""

    def __init__(self, pieces: list[bytes], at: Callable[[int], None] = lambda _: None) -> None:
        self._pieces = pieces
        self._at = at
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        for number, piece in enumerate(self._pieces):
            self._at(number)
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


def client(body: Pieces, seen: list[Any] | None = None) -> openai.OpenAI:
    """Make a client of OpenAI's own address that is answered with a body."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if seen is not None:
            seen.append(request)
        return httpx2.Response(200, stream=body, headers={"content-type": "text/event-stream"})

    own = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(api_key=KEY, http_client=own, max_retries=0)


def test_unbuffered(shared: World) -> None:
    """A piece is with the caller before the provider has written the next one."""
    log: list[str] = []
    body = Pieces(WHOLE, lambda number: log.append(f"sent {number}"))

    def call() -> None:
        with client(body) as own:
            stream = own.chat.completions.create(**ASK, stream=True)
            log.extend(f"read {part.choices[0].delta.content}" for part in stream)

    shared.once(call)
    assert log[:5] == ["sent 0", "read Hello, dear", "sent 1", "read  reader", "sent 2"]
    assert shared.last("state, first_seconds <= seconds") == ("answered", True)


def test_usage_is_asked_for_and_hidden(shared: World) -> None:
    """The provider is asked for the usage; the caller sees the stream that it asked for."""
    seen: list[Any] = []

    def call() -> list[bytes]:
        with client(Pieces(WHOLE), seen) as own:
            asked = own.chat.completions.with_streaming_response.create(
                **ASK, stream=True, timeout=7
            )
            with asked as response:
                found = b"".join(response.iter_bytes())
                assert b"include_usage" not in response.http_request.content
        return [found]

    assert shared.once(call) == [b"".join([*WHOLE[:3], DONE])]
    [request] = seen
    assert json.loads(request.content)["stream_options"] == {"include_usage": True}
    assert request.headers["accept-encoding"] == "identity"
    assert int(request.headers["content-length"]) == len(request.content)
    assert request.extensions["timeout"]["read"] == 7
    assert shared.last("tokens_input, tokens_output, estimated") == (9, 2, False)


def test_usage_that_was_asked_for(shared: World) -> None:
    """Who asks for the usage sees it, in bytes that nobody has touched."""
    seen: list[Any] = []

    def call() -> bytes:
        options: Any = {"include_usage": True}
        with client(Pieces(WHOLE), seen) as own:
            asked = own.chat.completions.with_streaming_response.create(
                **ASK, stream=True, stream_options=options
            )
            with asked as response:
                return b"".join(response.iter_bytes())

    assert shared.once(call) == b"".join(WHOLE)
    assert seen[0].headers["accept-encoding"] != "identity"


def test_readable_encoding(shared: World) -> None:
    """A stream is asked for in an encoding that can be read on its way; else nothing changes."""
    seen: list[Any] = []

    def call() -> None:
        headers = {"accept-encoding": "gzip, br, zstd"}
        with client(Pieces(WHOLE), seen) as own:
            own.responses.create(
                model="gpt-5.4-mini", input="hi", stream=True, extra_headers=headers
            )

    shared.once(call)
    [request] = seen
    assert request.headers["accept-encoding"] == "gzip, deflate"
    assert json.loads(request.content) == {"model": "gpt-5.4-mini", "input": "hi", "stream": True}


def test_usage_by_setting(world: World) -> None:
    """With PAPAYYA_LLM_USAGE=0 nothing is asked for, and the tokens are an estimate."""
    world.script.start(llm_usage=False)
    seen: list[Any] = []

    def call() -> None:
        with client(Pieces([*WHOLE[:3], DONE]), seen) as own:
            list(own.chat.completions.create(**ASK, stream=True))

    world.once(call)
    assert b"stream_options" not in seen[0].content
    assert world.last("state, estimated, tokens_output > 0") == ("answered", True, True)


def test_server_that_refuses_the_question(shared: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that knows no stream_options is asked as the caller did, from then on at once."""
    monkeypatch.setattr(asking, "_refused", set())
    seen: list[bool] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(b"stream_options" in request.content)
        if seen[-1]:
            return httpx2.Response(400, json={"error": "unknown field stream_options"})
        return httpx2.Response(200, content=b"".join([*WHOLE[:3], DONE]))

    def call() -> None:
        own = httpx2.Client(transport=httpx2.MockTransport(answer))
        url = "http://vllm.example/v1"
        with openai.OpenAI(api_key=KEY, base_url=url, http_client=own, max_retries=0) as asker:
            for _ in range(2):
                assert len(list(asker.chat.completions.create(**ASK, stream=True))) == 3

    before = len(shared.calls())
    shared.once(call)
    assert seen == [True, False, False]
    assert shared.calls()[before:] == ["answered", "answered"]


def test_left_early(shared: World) -> None:
    """A stream that its caller leaves is broken, and priced for what was seen."""
    body = Pieces(WHOLE)

    def call() -> None:
        with client(body) as own, own.chat.completions.create(**ASK, stream=True) as stream:
            next(iter(stream))

    shared.once(call)
    found = shared.last("state, estimated, tokens_output > 0, cost_nusd > 0, error")
    assert found == ("broken", True, True, True, None)
    assert body.closed


def test_left_after_its_end(shared: World) -> None:
    """A caller that stops at the end mark, without closing, has had a whole answer."""

    def call() -> list[str]:
        own = httpx2.Client(transport=httpx2.MockTransport(lambda _: answer))
        papayya_llm.register_host("gateway.example")
        request = own.build_request("POST", "http://gateway.example/v1/chat/completions", json=body)
        response = own.send(request, stream=True)
        for piece in response.iter_raw():
            if piece == DONE:
                break
        return shared.calls()[-1:]  # it is settled by now

    body = ASK | {"stream": True}
    answer = httpx2.Response(200, stream=Pieces([*WHOLE[:3], DONE]))
    assert shared.once(call) == ["answered"]
    schemas.forget()


def test_forgotten(shared: World) -> None:
    """A stream that is neither read nor closed is settled when it is collected."""

    def call() -> None:
        with client(Pieces(WHOLE)) as own:
            next(iter(own.chat.completions.create(**ASK, stream=True)))
        gc.collect()
        asyncio.run(until(lambda: shared.last("state") == "broken"))

    shared.once(call)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # a connection goes with its stream
def test_collected(shared: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the garbage collector closes is settled by another thread: this one may hold a lock."""
    threads: list[int] = []
    settle = runtime().engine().calls.settle

    def noting(*arguments: Any) -> None:
        threads.append(threading.get_ident())
        settle(*arguments)

    def call() -> None:
        monkeypatch.setattr(runtime().engine().calls, "settle", noting)
        for ask in (_leave_chat, _leave_converse):
            gc.disable()
            ask(shared.url)
            gc.collect()
            gc.enable()
        asyncio.run(until(lambda: len(threads) == 2))

    shared.once(call)
    assert threading.get_ident() not in threads


def _leave_chat(url: str) -> None:
    with client(Pieces(WHOLE)) as own:
        stream: Any = own.chat.completions.create(**ASK, stream=True)
        next(iter(stream))
        stream.itself = stream


def _leave_converse(url: str) -> None:
    with closing(shapes.bedrock(url)) as own:
        stream = own.converse_stream(modelId=BEDROCK, messages=shapes.SAY)["stream"]
        next(iter(stream))
        stream.itself = stream


def test_forgotten_on_a_loop(shared: World) -> None:
    """The same on an event loop."""

    async def call() -> None:
        async with shapes.agpt(shared.url) as own:
            stream = await own.chat.completions.create(**ASK, stream=True)
            await anext(aiter(stream.response.aiter_raw()))
            del stream
        gc.collect()
        await until(lambda: shared.last("state") != "pending")

    shared.aonce(call)
    assert shared.last("state") == "broken"


def test_cut_by_the_provider(shared: World) -> None:
    """A stream that breaks off is broken, says why, and its caller sees the client's own error."""

    def call() -> None:
        headers = {"x-fake-fault": "cut_stream;after=3"}
        with shapes.gpt(shared.url) as own:
            stream = own.chat.completions.create(**ASK, stream=True, extra_headers=headers)
            with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
                list(stream)

    shared.once(call)
    state, error, cost = shared.last("state, error, cost_nusd")
    assert (state, "RemoteProtocolError" in error, cost > 0) == ("broken", True, True)


def test_cut_on_a_loop(shared: World) -> None:
    """The same for Anthropic on an event loop."""

    async def call() -> None:
        headers = {"x-fake-fault": "cut_stream;after=3"}
        async with shapes.aclaude(shared.url) as own:
            stream = await own.messages.create(**ASK_CLAUDE, stream=True, extra_headers=headers)
            with suppress(anthropic.APIConnectionError, httpx2.RemoteProtocolError):
                _ = [event async for event in stream]

    shared.aonce(call)
    state, error, tokens = shared.last("state, error, tokens_input")
    assert (state, "RemoteProtocolError" in error, tokens > 0) == ("broken", True, True)


def test_closed_by_another_task(shared: World) -> None:
    """A stream that another task closes while it is read is settled once."""

    async def call() -> None:
        gate, body = asyncio.Event(), Hanging()
        own = httpx2.AsyncClient(
            transport=httpx2.MockTransport(lambda _: httpx2.Response(200, stream=body))
        )
        async with openai.AsyncOpenAI(api_key=KEY, http_client=own) as asker:
            stream = await asker.chat.completions.create(**ASK, stream=True)

            async def read() -> None:
                async for _ in stream:
                    gate.set()

            reader = asyncio.ensure_future(read())
            await gate.wait()
            await stream.response.aclose()
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader

    before = len(shared.calls())
    shared.aonce(call)
    assert shared.calls()[before:] == ["broken"]


class Hanging(httpx2.AsyncByteStream):
    """A body that never ends."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield says("Hel")
        await asyncio.Event().wait()


def test_bedrock_left_early(shared: World) -> None:
    """A Bedrock stream that is closed early is broken."""

    def call() -> None:
        with closing(shapes.bedrock(shared.url)) as own:
            stream = own.converse_stream(modelId=BEDROCK, messages=shapes.SAY)["stream"]
            next(iter(stream))
            stream.close()

    shared.once(call)
    assert shared.last("state, schema, cost_nusd >= 0") == ("broken", "bedrock.converse", True)


def test_broken_off_is_asked_again(shared: World) -> None:
    """A stream that broke off is no answer of the journal: the next execution pays for it anew."""

    def call() -> int:
        with shapes.gpt(shared.url) as own:
            headers = {"x-fake-fault": "cut_stream;after=2"} if not asked else {}
            asked.append(1)
            stream = own.chat.completions.create(**ASK, stream=True, extra_headers=headers)
            with suppress(openai.APIConnectionError, httpx2.RemoteProtocolError):
                return len(list(stream))
        return 0

    asked: list[int] = []
    found = shared.twice(call)
    assert found.requests == [1, 1]
    assert found.answers[0] == 0 < found.answers[1]
    assert shared.calls(found.run, "state, ordinal") == [("broken", 1), ("answered", 1)]


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_elapsed(shared: World, library: Any) -> None:
    """A stream knows how long it took, as without us."""

    def call() -> float:
        body, headers = ASK | {"stream": True}, {"user-agent": "OpenAI/Python"}
        url = f"{shared.url}/v1/chat/completions"
        with library.stream("POST", url, json=body, headers=headers) as response:
            response.read()
        seconds: float = response.elapsed.total_seconds()
        return seconds

    assert shared.once(call) > 0
    assert shared.last("state") == "answered"
