"""How exchanges end: every attempt is a call of its own, and says what became of it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing, suppress
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from papayya import bind
from papayya_core.store.store import Store
from tests.integration.llm import shapes
from tests.integration.llm.shapes import ASK, ASK_CLAUDE, KEY
from tests.integration.llm.world import BEDROCK, World, until

FAULT = "x-fake-fault"


def ask(world: World, fault: str = "", **options: Any) -> Any:
    """Ask in an item, with a fault, and return what the client raises."""
    options = {"max_retries": 0, **options}

    def call() -> Any:
        with openai.OpenAI(api_key=KEY, base_url=f"{world.url}/v1", **options) as client:
            headers = {FAULT: fault} if fault else {}
            with suppress(openai.APIError):
                client.chat.completions.create(**ASK, extra_headers=headers)

    return world.once(call)


def test_refused(shared: World) -> None:
    """A refusal costs nothing, and tells when to come again."""
    ask(shared, "rate_limit;retry_after=2")
    found = shared.last("state, status, retry_after, cost_nusd, request_id IS NOT NULL, error")
    assert found[:5] == ("failed", 429, 2.0, 0, True)
    assert "Rate limit reached" in found[5]


def test_each_attempt(shared: World) -> None:
    """What an SDK tries again by itself is seen attempt by attempt."""
    before = len(shared.calls())
    headers = {FAULT: "server_error;retry_after=0"}

    def call() -> None:
        with shapes.gpt(shared.url) as client, suppress(openai.InternalServerError):
            again = client.with_options(max_retries=2)
            again.chat.completions.create(**ASK, extra_headers=headers)

    shared.once(call)
    found = shared.calls(None, "state, status, sdk_retries, attempt, ordinal")[before:]
    assert found == [("failed", 500, tries, tries + 1, 1) for tries in range(3)]


def test_retry_that_succeeds_is_one_sample(shared: World) -> None:
    """An attempt that fails gives its number back: the next one answers the same request."""
    shared.stand_in.fail({"kind": "server_error", "times": 1, "match": "two tries"})
    before = len(shared.calls())

    def call() -> None:
        body: Any = ASK_CLAUDE | {"messages": [{"role": "user", "content": "two tries"}]}
        with anthropic.Anthropic(api_key=KEY, base_url=shared.url, max_retries=1) as client:
            client.messages.create(**body)

    shared.once(call)
    found = shared.calls(None, "state, status, ordinal")[before:]
    assert found == [("failed", 500, 1), ("answered", 200, 1)]


def test_never_sent(shared: World) -> None:
    """What could not be sent is void."""

    def call() -> None:
        with suppress(openai.APIConnectionError):
            shapes.chat("http://127.0.0.1:1")

    shared.once(call)
    assert shared.last("state, status, cost_nusd, held_nusd") == ("void", None, 0, 0)


def test_timed_out(world: World) -> None:
    """After a timeout nobody knows: the call keeps what it may have cost."""
    ask(world, "timeout;seconds=5", timeout=0.3)
    state, held, cost, error = world.last("state, held_nusd, cost_nusd, error")
    assert (state, cost) == ("uncertain", 0)
    assert held is None or held > 0
    assert "Timeout" in error


def test_connection_lost(world: World) -> None:
    """A connection that ends without an answer leaves the call uncertain."""
    ask(world, "reset")
    assert world.last("state") == "uncertain"
    assert world.stand_in.entries()[-1].cost_nusd > 0


def test_cancelled_task(world: World) -> None:
    """A task that is cancelled while it waits for the answer leaves the call uncertain."""

    async def call() -> None:
        async with shapes.agpt(world.url) as client:
            request = client.chat.completions.create(**ASK, extra_headers={FAULT: "timeout"})
            task = asyncio.ensure_future(request)
            before = len(world.stand_in.entries())
            await until(lambda: len(world.stand_in.entries()) > before)  # it is on its way
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    world.aonce(call)
    assert world.last("state") == "uncertain"


def test_hook_that_raises_for_status(shared: World) -> None:
    """A client whose own hook raises for a refusal is seen to be refused."""

    def check(response: httpx.Response) -> None:
        response.read()
        response.raise_for_status()

    def call() -> None:
        headers = {FAULT: "rate_limit", "user-agent": "OpenAI/Python 1"}
        client = httpx.Client(event_hooks={"response": [check]})
        with client, pytest.raises(httpx.HTTPStatusError):
            client.post(f"{shared.url}/v1/chat/completions", json=ASK, headers=headers)

    shared.once(call)
    assert shared.last("state, status, retry_after") == ("failed", 429, 1.0)


def test_error_shows_the_callers_request(shared: World) -> None:
    """An error holds the request as the caller made it, though another one was sent."""
    seen: list[Any] = []

    def call() -> None:
        with shapes.gpt("http://127.0.0.1:1") as client:
            try:
                client.chat.completions.create(**ASK, stream=True)
            except openai.APIConnectionError as error:
                seen.extend([error.request.content, error.__cause__])

    shared.once(call)
    content, cause = seen
    assert b"include_usage" not in content
    assert isinstance(cause, httpx2.ConnectError)
    assert cause.request.content == content


def test_bedrock_attempts(shared: World) -> None:
    """Each of botocore's attempts is a call of its own, with its number."""
    before = len(shared.calls())
    shared.stand_in.fail({"kind": "server_error", "times": 1, "match": "bedrock tries twice"})
    say: Any = [{"role": "user", "content": [{"text": "bedrock tries twice"}]}]

    def call() -> None:
        with closing(shapes.bedrock(shared.url)) as client:
            client.converse(modelId=BEDROCK, messages=say)

    shared.once(call)
    found = shared.calls(None, "state, status, sdk_retries, ordinal")[before:]
    assert found == [("failed", 500, 0, 1), ("answered", 200, 1, 1)]


def test_kept_headers(shared: World) -> None:
    """Limits and ids are kept of the headers; cookies and credentials are not."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        headers = {
            "set-cookie": "a=b",
            "authorization": "Bearer x",
            "x-ratelimit-remaining": "5",
            "X-Request-ID": "req-9",
        }
        return httpx2.Response(200, json={"id": "1", "choices": []}, headers=headers)

    mocked(shared, answer)
    headers, request_id = shared.last("headers, request_id")
    assert dict(headers) == {
        "x-ratelimit-remaining": "5",
        "x-request-id": "req-9",
        "content-type": "application/json",
    }
    assert request_id == "req-9"


def test_answer_that_is_no_json(shared: World) -> None:
    """An answer that says nothing is not for the journal, and loudly without a price."""
    mocked(shared, lambda _: httpx2.Response(200, text="<html>"))
    found = shared.last("state, unpriced, response_hash, error")
    assert found == ("answered", True, None, "it answered nothing that can be read")


def mocked(world: World, answer: Any) -> None:
    """Ask OpenAI's own address, by a transport of the caller's."""

    def call() -> None:
        own = httpx2.Client(transport=httpx2.MockTransport(answer))
        client = openai.OpenAI(api_key=KEY, http_client=own, max_retries=0)
        with client, suppress(openai.APIError):
            client.chat.completions.with_raw_response.create(**ASK)

    world.once(call)


def test_thread(shared: World) -> None:
    """A thread that carries the item along has its calls recorded; another has not."""

    def call() -> None:
        for fn in (shapes.chat, bind(shapes.chat)):
            thread = threading.Thread(target=fn, args=(shared.url,))
            thread.start()
            thread.join()

    before = len(shared.calls())
    shared.once(call)
    assert len(shared.calls()) == before + 1


def test_outside_items(shared: World) -> None:
    """Outside items nothing is recorded."""
    shared.once(lambda: None)  # the clients are held by now
    before = len(shared.calls())
    shapes.chat(shared.url)
    asyncio.run(shapes.achat(shared.url))
    shapes.converse(shared.url)
    assert len(shared.calls()) == before


@pytest.mark.parametrize("settings", [{"mode": "off"}, {"llm": False}])
def test_turned_off(world: World, settings: dict[str, Any]) -> None:
    """In mode off, and without PAPAYYA_LLM, calls go through untouched."""
    world.script.start(**settings)
    world.once(lambda: shapes.chat(world.url))
    assert world.calls() == []


def test_sdk_retries_left_to_the_steps(world: World) -> None:
    """With PAPAYYA_SDK_RETRIES=0 clients do not try again inside items; outside they do."""
    world.script.start(sdk_retries=False)
    attempts: list[int] = []
    url, headers = f"{world.url}/v1", {FAULT: "server_error;retry_after=0"}

    def call() -> None:
        before = len(world.stand_in.entries())
        client = openai.OpenAI(api_key=KEY, base_url=url, max_retries=2)
        with client, suppress(openai.InternalServerError):
            client.chat.completions.create(**ASK, extra_headers=headers)
        attempts.append(len(world.stand_in.entries()) - before)

    world.once(call)
    call()
    assert attempts == [1, 3]


@pytest.mark.parametrize(("name", "states"), [("hold", ["void"]), ("settle", ["answered"])])
def test_time_limit_in_our_own_lines(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, states: list[str]
) -> None:
    """A queue's time limit that falls into a hold or a settlement reaches the task, and is no fault."""
    own, limits = Store.fetch, [SoftTimeLimitExceeded(9)]

    def fetch(store: Store, statement: str, *args: Any, **kwargs: Any) -> Any:
        found = own(store, statement, *args, **kwargs)
        if statement == name and limits:
            raise limits.pop()
        return found

    def call() -> str:
        with pytest.raises(SoftTimeLimitExceeded):
            httpx.post(f"{world.url}/v1/chat/completions", json=ASK, headers=headers)
        return "in time"

    headers = {"authorization": f"Bearer {KEY}", "user-agent": "OpenAI/Python"}
    monkeypatch.setattr(Store, "fetch", fetch)
    before = len(world.stand_in.entries())
    assert world.once(call) == "in time"
    assert world.calls() == states
    assert len(world.stand_in.entries()) - before == (name == "settle")
    assert world.findings() == []
