"""What is answered from the journal, what is asked anew, and what is never sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import openai
import pytest

import papayya_llm
from papayya import BudgetExhausted, Reject, agent, hookimpl, run
from papayya_core import calls
from papayya_core.call import Answered, Asked, CallFacts, Tokens
from papayya_core.errors import HandPaused, ItemCancelled, Signal
from papayya_core.runtime import runtime
from papayya_llm import facts, schemas, streams
from tests.integration.llm import shapes
from tests.integration.llm.shapes import ASK, KEY
from tests.integration.llm.world import World


def ask(world: World, text: str, **options: Any) -> str:
    """Ask one question."""
    body = ASK | {"messages": [{"role": "user", "content": text}]} | options
    with shapes.gpt(world.url) as client:
        return client.chat.completions.create(**body).choices[0].message.content or ""


def test_task_without_a_step(world: World) -> None:
    """A task without any step that makes three calls and dies at the third pays for three."""
    questions = ["one?", "two?", "three?"]

    def call() -> list[str]:
        answers = [ask(world, text) for text in questions[:2]]
        if not died:
            died.append(True)
            raise RuntimeError("dies at the third")
        return [*answers, ask(world, questions[2])]

    died: list[bool] = []
    before = len(world.stand_in.entries())

    @agent(name="three")
    def three(item: int) -> list[str]:
        return call()

    with run("three", run_id="three"):
        with suppress(RuntimeError):
            three(1)
        world.retry("three")
        assert len(three(1)) == 3
    assert len(world.stand_in.entries()) - before == 3
    assert world.calls("three") == ["answered"] * 2 + ["replayed"] * 2 + ["answered"]


def test_samples_stay_samples(shared: World) -> None:
    """Three deliberate samples of one question stay three answers, each its own again."""
    found = shared.twice(lambda: [ask(shared, "sample me") for _ in range(3)])
    assert found.requests == [3, 0]
    assert found.answers[0] == found.answers[1]
    assert shared.calls(found.run, "state, ordinal") == [
        *[("answered", number) for number in (1, 2, 3)],
        *[("replayed", number) for number in (1, 2, 3)],
    ]


def test_concurrent_samples(shared: World) -> None:
    """The same on an event loop, all at once."""

    async def call() -> int:
        async with shapes.agpt(shared.url) as client:
            create = client.chat.completions.create
            return len(await asyncio.gather(*(create(**ASK) for _ in range(4))))

    found = shared.atwice(call)
    assert found.requests == [4, 0]
    assert sorted(n for _, n in shared.calls(found.run, "state, ordinal")) == sorted(
        [1, 2, 3, 4] * 2
    )


def test_changed_question(shared: World) -> None:
    """A changed question is paid for, and a note names the place where it differs."""
    questions = iter(["What is the time? sk-proj-aaaaaaaaaaaaaaaaaaaaaaaa", "What is the hour?"])
    found = shared.twice(lambda: ask(shared, next(questions)))
    assert found.requests == [1, 1]
    [reason] = [why for check, why in shared.findings() if check == "replay_miss"]
    assert "$.messages[0].content" in reason
    assert "time" in reason
    assert "hour" in reason
    assert "aaaaaaaa" not in reason


def test_changed_after_an_answer(shared: World) -> None:
    """The changed question is found also where the ones before it are answered from the journal."""
    before, seconds = len(shared.findings()), iter(["second?", "another?"])
    found = shared.twice(lambda: [ask(shared, "first?"), ask(shared, next(seconds))])
    assert found.requests == [2, 1]
    [reason] = [why for check, why in shared.findings()[before:] if check == "replay_miss"]
    assert "another" in reason


def test_volatile_fields(shared: World) -> None:
    """Who asks, and what for, is no part of the question."""
    users = iter(["ann", "bob"])
    found = shared.twice(lambda: ask(shared, "who am I?", user=next(users)))
    assert found.requests == [1, 0]


def test_stream_is_another_question(shared: World) -> None:
    """A streamed answer is no answer to a plain request."""
    ways = iter([shapes.chat, shapes.chat_stream])
    found = shared.twice(lambda: next(ways)(shared.url))
    assert found.requests == [1, 1]


def test_usage_is_hidden_again(shared: World) -> None:
    """A replay hides the event of usage from who has not asked, and shows it to who asks."""
    ways = iter([shapes.chat_stream, shapes.chat_stream_with_usage])
    found = shared.twice(lambda: next(ways)(shared.url))
    assert found.requests == [1, 0]
    plain, with_usage = found.answers
    assert with_usage[:-1] == [one | {"usage": None} for one in plain]
    assert with_usage[-1]["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("error", [json.JSONDecodeError("bad", "", 0), Reject("bad")])
def test_answer_that_cannot_be_used(shared: World, error: Exception) -> None:
    """An answer that could not be parsed is asked anew, not given again for ever."""
    name = f"parse-{type(error).__name__}"
    failures = [error]

    @agent(name=name)
    def body(item: int) -> str:
        answer = ask(shared, f"as JSON, please, {name}")
        if failures:
            raise failures.pop()
        return answer

    with run(name, run_id=name):
        with suppress(type(error)):
            body(1)
        shared.retry(name)
        body(1)
    assert shared.calls(name, "state, rejected, resampled") == [
        ("answered", True, False),
        ("answered", False, True),
    ]


def test_step_that_is_tried_again(shared: World) -> None:
    """A step that failed for another reason finds its answers again."""
    failures = [ConnectionError("something else"), None]

    def work() -> str:
        answer = ask(shared, "in a step")
        if failure := failures.pop(0):
            raise failure
        return answer

    @agent(name="stepping")
    def stepping(item: int) -> str:
        return str(run.task("work", work))

    with run("stepping", run_id="stepping"):
        stepping(1)
    assert shared.calls("stepping", "state, step, step_n") == [
        ("answered", "work", 1),
        ("replayed", "work", 1),
    ]


def test_exhausted_budget(shared: World) -> None:
    """Without budget nothing is sent: the pause passes through the SDK and ``except Exception``."""
    before = len(shared.stand_in.entries())

    @agent(name="poor", budget_usd="0.000001")
    def poor(item: int) -> str:
        try:
            return ask(shared, "already too much")
        except Exception:
            return "swallowed"

    with pytest.raises(BudgetExhausted):
        poor(1)
    assert len(shared.stand_in.entries()) == before


@pytest.mark.parametrize("signal", [HandPaused, ItemCancelled])
def test_signals_pass_through_clients(
    shared: World, monkeypatch: pytest.MonkeyPatch, signal: type[Signal]
) -> None:
    """A signal reaches the item through an SDK with retries, and nothing is sent."""
    before = len(shared.stand_in.entries())
    seen: list[BaseException] = []

    def call() -> None:
        def begin(*_: Any, **__: Any) -> None:
            raise signal("now")

        monkeypatch.setattr(runtime().engine().calls, "begin", begin)
        try:
            with openai.OpenAI(api_key=KEY, base_url=f"{shared.url}/v1", max_retries=3) as client:
                client.chat.completions.create(**ASK)
        except BaseException as error:
            seen.append(error)

    shared.once(call)
    assert [type(error) for error in seen] == [signal]
    assert len(shared.stand_in.entries()) == before


@pytest.mark.parametrize("method", ["begin", "settle"])
def test_recorder_that_fails(
    shared: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
) -> None:
    """A fault in our recording is noted and logged, and never the caller's."""

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError(method)

    monkeypatch.setattr(calls.Calls, method, fail)
    with caplog.at_level(logging.ERROR):
        assert shared.once(lambda: ask(shared, f"a recorder that fails in {method}"))
        assert shared.once(lambda: shapes.chat_stream(shared.url))
    assert "ZeroDivisionError" in caplog.text
    assert ("observer_error", method) in [(c, why[-len(method) :]) for c, why in shared.findings()]


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (schemas, "find"),
        (streams.Watcher, "__init__"),
        (streams.Watcher, "_hear"),
        (streams.Watcher, "finish"),
        (schemas.by_name("openai.chat").__class__, "answer"),
        (schemas.by_name("openai.chat").__class__, "ask"),
    ],
)
def test_observer_that_fails(
    shared: World, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    """A fault in our reading changes nothing for the caller, whatever it asks."""

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError(name)

    monkeypatch.setattr(owner, name, fail)
    before = len(shared.findings())
    assert shared.once(lambda: shapes.chat(shared.url))["choices"][0]["finish_reason"] == "stop"
    chunks = shared.once(lambda: shapes.chat_stream(shared.url))
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert "observer_error" in [check for check, _ in shared.findings()[before:]]


def test_another_event_loop(shared: World) -> None:
    """On an event loop that is not asyncio's calls go through, and a note says that once."""

    async def ask_twice() -> list[int]:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, json={}))
        client = httpx.AsyncClient(transport=transport)
        headers = {"user-agent": "OpenAI/Python"}
        return [
            (
                await client.post("http://x/v1/chat/completions", json=ASK, headers=headers)
            ).status_code
            for _ in range(2)
        ]

    def call() -> list[int]:
        """Run it as another library's loop would: no loop of asyncio's is running."""
        with pytest.raises(StopIteration) as ended:
            ask_twice().send(None)
        return list(ended.value.value)

    before = len(shared.calls())
    assert shared.once(call) == [200, 200]
    assert len(shared.calls()) == before
    assert [check for check, _ in shared.findings()].count("call_unrecorded") == 1


class Gateway:
    """A plugin for a gateway with a format of its own."""

    @staticmethod
    @hookimpl
    def normalise_call(url: str, request: Any, response: Any) -> CallFacts | None:
        if not url.endswith("/ask"):
            return None
        asked = Asked("acme", "acme.ask", request["model"], max_tokens=10)
        if response is None:
            return CallFacts(asked)
        said = response["said"] if isinstance(response, dict) else response
        return CallFacts(asked, Answered("acme-1", text=said, tokens=Tokens(input=3, output=4)))


@contextlib.contextmanager
def gateway() -> Iterator[None]:
    """Make the gateway's host known."""
    papayya_llm.register_host("gateway.example", provider="acme")
    try:
        yield
    finally:
        schemas.forget()


@pytest.mark.parametrize("body", [{"json": {"said": "hi"}}, {"text": "hi"}])
def test_private_gateway(world: World, body: Any) -> None:
    """A registered host in an unknown format is read by a plugin, and replayed like any other."""
    world.script.start([Gateway])
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, **body)

    def call() -> str:
        with httpx.Client(transport=httpx.MockTransport(answer)) as client:
            return client.post("http://gateway.example/ask?key=1", json={"model": "a", "q": 1}).text

    with gateway():
        found = world.twice(call)
    assert len(asked) == 1
    assert found.answers[0] == found.answers[1]
    columns = "provider, schema, model, answered_by, tokens_output, url"
    first = world.calls(found.run, columns)[0]
    assert first == ("acme", "acme.ask", "a", "acme-1", 4, "gateway.example/ask")


def test_hosts_of_the_settings(world: World) -> None:
    """PAPAYYA_LLM_HOSTS makes hosts known, with or without a provider."""
    world.script.start(llm_hosts=("one.example=acme", "two.example"))
    answer = httpx.MockTransport(lambda _: httpx.Response(200, json={"id": "1", "choices": []}))

    def call() -> None:
        with httpx.Client(transport=answer) as client:
            for host in ("one", "two", "three"):
                client.post(f"http://{host}.example/v1/chat/completions", json=ASK)

    world.once(call)
    schemas.forget()
    assert world.calls(None, "url, provider") == [
        ("one.example/v1/chat/completions", "acme"),
        ("two.example/v1/chat/completions", "openai"),
    ]


@pytest.mark.parametrize("name", ["chat", "chat_stream", "converse_stream", "google_stream"])
def test_read_again_for_people(shared: World, name: str) -> None:
    """What is stored of a call can be read again: the prompt, and what the model wrote."""
    shared.once(lambda: shapes.SYNC[name](shared.url))
    url, asked, answer = shared.last("url, request_hash, response_hash")
    stored = [payload(shared, found) for found in (asked, answer)]
    read = facts.read(url, json.loads(stored[0]), parsed(stored[1]))
    assert read is not None
    assert read.messages[0].text.startswith("I was charged twice")
    assert read.answered is not None
    assert read.answered.text
    assert read.answered.tokens is not None


def payload(world: World, name: bytes) -> bytes:
    """Read a payload."""
    from papayya_core.store import rows

    codec, body = world.script.one("SELECT codec, body FROM papayya.payload WHERE hash = %s", name)
    return rows.unpack_bytes(codec, body)


def parsed(body: bytes) -> Any:
    """Parse what is JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()


def test_page_instead_of_an_answer(shared: World) -> None:
    """What a proxy says in a provider's place is no answer: it is not given again for ever."""
    pages = [httpx.Response(200, text="<html>Please log in"), httpx.Response(200, json={"id": "r"})]
    url = "https://api.openai.com/v1/chat/completions"

    def call() -> str:
        with httpx.Client(transport=httpx.MockTransport(lambda _: pages.pop(0))) as client:
            return client.post(url, json=ASK).text

    found = shared.twice(call)
    assert [answer[:5] for answer in found.answers] == ["<html", '{"id"']
    states = shared.calls(found.run, "state, ordinal, unpriced, response_hash IS NULL")
    assert states == [("answered", 1, True, True), ("answered", 1, False, False)]
