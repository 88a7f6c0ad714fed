"""What a budget or a limit says about a call is done by every client, whatever it would do itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

from papayya_core.call import Ending, Held
from papayya_core.calls import Calls
from papayya_core.calls_async import AsyncCalls
from papayya_core.errors import HandPaused, ItemParked, Signal
from papayya_core.fake_provider.limits import Limit
from papayya_llm import asking
from papayya_llm.credentials import fingerprint
from tests.integration.llm import shapes
from tests.integration.llm.listening import Listening
from tests.integration.llm.shapes import ASK, ASK_CLAUDE, ASYNC, KEY, SAY, SYNC
from tests.integration.llm.world import BEDROCK, World

pytestmark = pytest.mark.usefixtures("known_host")

LEFT = 7  # tokens
CLAMPED = [
    *("chat", "chat_raw", "chat_stream", "chat_stream_with_usage", "responses", "responses_stream"),
    *("messages", "messages_stream", "google", "google_stream", "azure"),
    *("converse", "converse_stream", "invoke", "invoke_stream"),
    *("raw_httpx", "raw_httpx2_stream", "raw_httpx2_gzip_stream"),
]
ACLAMPED = ["achat", "achat_stream", "aresponses", "amessages", "amessages_stream", "agoogle"]


@pytest.fixture
def tight(shared: World, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Make every hold leave a few tokens; return what the holds were asked with."""
    asked: list[dict[str, Any]] = []
    begin, abegin = Calls.begin, AsyncCalls.begin

    def clamp(held: Any, options: dict[str, Any]) -> Any:
        asked.append(options)
        if isinstance(held, Held) and options["clampable"]:
            held.clamped = LEFT
        return held

    def tightly(*args: Any, **options: Any) -> Any:
        return clamp(begin(*args, **options), options)

    async def atightly(*args: Any, **options: Any) -> Any:
        return clamp(await abegin(*args, **options), options)

    monkeypatch.setattr(Calls, "begin", tightly)
    monkeypatch.setattr(AsyncCalls, "begin", atightly)
    return asked


def clamped(world: World, ask: Callable[[], object]) -> None:
    """Ask, and check that the answer is as short as it had to be, and known under its own key."""
    before = len(world.calls())
    ask()
    entry = world.stand_in.entries()[-1]
    assert (entry.status, entry.output_tokens) == (200, LEFT)
    assert world.calls(None, "state, tokens_output, finish")[before:] == [
        ("answered", LEFT, "length")
    ]
    [kept] = world.script.column(
        "SELECT request_hash FROM papayya.call WHERE id = (SELECT max(id) FROM papayya.call)"
    )
    assert kept.hex() != entry.body_sha256


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("name", CLAMPED)
def test_clamped(shared: World, name: str) -> None:
    """The provider is asked for no more than what is left."""
    clamped(shared, lambda: shared.once(lambda: SYNC[name](shared.url)))


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("name", ACLAMPED)
def test_clamped_on_a_loop(shared: World, name: str) -> None:
    """The same on an event loop."""
    clamped(shared, lambda: shared.aonce(lambda: ASYNC[name](shared.url)))


@pytest.mark.usefixtures("tight")
def test_callers_request(shared: World) -> None:
    """The caller sees the request that it made, and its answer is found again by that one."""

    def call() -> Any:
        with shapes.gpt(shared.url) as client:
            raw = client.chat.completions.with_raw_response.create(**ASK, max_tokens=90)
            return json.loads(raw.http_request.content)["max_tokens"], raw.content

    found = shared.twice(call)
    assert found.requests == [1, 0]
    assert found.answers[0] == found.answers[1]
    assert found.answers[0][0] == 90


@pytest.mark.usefixtures("tight")
def test_server_that_refuses_the_question(shared: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that knows no stream_options is asked without them, and for no more either."""
    monkeypatch.setattr(asking, "_refused", set())
    seen: list[Any] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(json.loads(request.content))
        if "stream_options" in seen[-1]:
            return httpx2.Response(400, json={"error": "unknown field stream_options"})
        return httpx2.Response(200, content=b"data: [DONE]\n\n")

    def call() -> None:
        own = httpx2.Client(transport=httpx2.MockTransport(answer))
        url = "http://vllm.example/v1"
        with openai.OpenAI(api_key=KEY, base_url=url, http_client=own, max_retries=0) as client:
            list(client.chat.completions.create(**ASK, stream=True, max_tokens=90))

    shared.once(call)
    assert [one["max_tokens"] for one in seen] == [LEFT, LEFT]
    assert ["stream_options" in one for one in seen] == [True, False]


def test_signed_by_a_client(shared: World, tight: list[dict[str, Any]]) -> None:
    """A request that a client has signed with its body is sent as it is, and held as such."""
    shared.once(lambda: SYNC["bedrock_messages"](shared.url))
    assert [one["clampable"] for one in tight] == [False]
    assert shared.last("state, finish") == ("answered", "stop")


@pytest.mark.usefixtures("tight")
def test_signature(shared: World) -> None:
    """What is sent to Amazon is signed as it is sent."""
    with Listening() as server:

        def call() -> None:
            with closing(shapes.bedrock(server.url)) as client:
                client.converse(modelId=BEDROCK, messages=SAY)

        shared.once(call)
        [(path, fields, body)] = server.heard
    assert json.loads(body)["inferenceConfig"] == {"maxTokens": LEFT}
    assert fields["authorization"].endswith(
        f"Signature={signature(server.url + path, fields, body)}"
    )


def signature(url: str, fields: dict[str, str], body: bytes) -> str:
    """Sign a request as it was received."""
    names = fields["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    request = AWSRequest("POST", url, {name: fields[name] for name in names}, body)
    request.context |= {"timestamp": fields["x-amz-date"], "payload_signing_enabled": True}
    auth = SigV4Auth(Credentials("test", "test"), "bedrock", "us-east-1")
    signed = auth.string_to_sign(request, auth.canonical_request(request))
    return str(auth.signature(signed, request))


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("chat", KEY),
        ("messages", KEY),
        ("google", KEY),
        ("azure", KEY),
        ("converse", "test"),
        ("bedrock_messages", "test"),
        ("raw_httpx", None),
    ],
)
def test_provider_key(
    shared: World, tight: list[dict[str, Any]], name: str, secret: str | None
) -> None:
    """The key that pays is known by its fingerprint, whichever client sends it."""
    shared.once(lambda: SYNC[name](shared.url))
    assert [one["provider_key"] for one in tight] == [secret and fingerprint(secret)]


# -- signals ---------------------------------------------------------------------------------------


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[Ending]:
    """Make every settlement of a refusal end with a signal of ours; return all endings."""
    found: list[Ending] = []
    settle, asettle = Calls.settle, AsyncCalls.settle

    def signal(ending: Ending) -> Signal | None:
        found.append(ending)
        return HandPaused("it is told to wait") if ending.state == "failed" else None

    def settled(self: Any, execution: Any, held: Any, ending: Ending) -> Any:
        settle(self, execution, held, ending)
        return signal(ending)

    async def asettled(self: Any, execution: Any, held: Any, ending: Ending) -> Any:
        await asettle(self, execution, held, ending)
        return signal(ending)

    monkeypatch.setattr(Calls, "settle", settled)
    monkeypatch.setattr(AsyncCalls, "settle", asettled)
    return found


def left(world: World, run: Callable[[], object], status: int = 429) -> None:
    """Run an item that is refused once, and check that nobody has tried again."""
    before = len(world.stand_in.entries()), len(world.calls())
    with pytest.raises(ItemParked):
        run()
    assert [one.status for one in world.stand_in.entries()[before[0] :]] == [status]
    assert world.calls(None, "state, status")[before[1] :] == [("failed", status)]


def swallowed(world: World, ask: Callable[[Any], object], client: Any) -> Callable[[], None]:
    """Ask with a client that would try again, in code that catches every Exception."""

    def call() -> None:
        with client:
            try:
                ask(client)
            except Exception:
                pytest.fail("it is no matter of the caller's")
            finally:
                assert idle(client)

    return call


def idle(client: Any) -> bool:
    """Tell whether all of a client's connections are given back."""
    http = getattr(client, "_client", client)
    found = http._transport._pool.connections
    return bool(found) and all(one.is_idle() for one in found)


REFUSED: Any = {"extra_headers": {"x-fake-fault": "rate_limit;retry_after=40"}}
OPENAI: dict[str, Callable[[Any], object]] = {
    "plain": lambda client: client.chat.completions.create(**ASK, **REFUSED),
    "stream": lambda client: list(client.chat.completions.create(**ASK, **REFUSED, stream=True)),
    "raw": lambda client: client.chat.completions.with_raw_response.create(**ASK, **REFUSED),
    "responses": lambda client: client.responses.create(**shapes.ASK_RESPONSES, **REFUSED),
}


@pytest.mark.parametrize("way", OPENAI)
def test_openai(shared: World, ended: list[Ending], way: str) -> None:
    """OpenAI's client does not try again, and its connection is free at once."""
    client = openai.OpenAI(api_key=KEY, base_url=f"{shared.url}/v1", max_retries=2)
    left(shared, lambda: shared.once(swallowed(shared, OPENAI[way], client)))
    assert [one.retry_after for one in ended] == [40.0]


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic(shared: World, ended: list[Ending], stream: bool) -> None:
    """So does Anthropic's."""
    client = anthropic.Anthropic(api_key=KEY, base_url=shared.url, max_retries=2)
    body = ASK_CLAUDE | REFUSED | {"stream": stream}
    left(
        shared, lambda: shared.once(swallowed(shared, lambda c: c.messages.create(**body), client))
    )
    assert len(ended) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_on_a_loop(shared: World, ended: list[Ending], stream: bool) -> None:
    """So do they on an event loop."""

    async def call() -> None:
        options: Any = {"api_key": KEY, "base_url": f"{shared.url}/v1", "max_retries": 2}
        async with openai.AsyncOpenAI(**options) as client:
            try:
                await client.chat.completions.create(**ASK, **REFUSED, stream=stream)
            finally:
                assert idle(client)

    left(shared, lambda: shared.aonce(call))
    assert len(ended) == 1


@pytest.mark.parametrize("ask", ["converse", "converse_stream"])
def test_bedrock(shared: World, ended: list[Ending], ask: str) -> None:
    """So does Amazon's."""
    shared.stand_in.fail({"kind": "rate_limit", "match": "bedrock is refused"})
    say: Any = [{"role": "user", "content": [{"text": "bedrock is refused"}]}]

    def call() -> None:
        with closing(shapes.bedrock(shared.url)) as client:
            getattr(client, ask)(modelId=BEDROCK, messages=say)

    left(shared, lambda: shared.once(call))
    assert len(ended) == 1


def test_hook_that_raises_for_status(shared: World, ended: list[Ending]) -> None:
    """A client whose own hook raises for a refusal leaves the item as well."""

    def check(response: httpx.Response) -> None:
        response.read()
        response.raise_for_status()

    def post(client: httpx.Client) -> None:
        client.post(
            f"{shared.url}/v1/chat/completions",
            json=ASK,
            headers={"x-fake-fault": "rate_limit", "user-agent": "OpenAI/Python 1"},
        )

    client = httpx.Client(event_hooks={"response": [check]})
    left(shared, lambda: shared.once(swallowed(shared, post, client)))
    assert ended[0].status == 429


# -- what refusals and answers tell ----------------------------------------------------------------


def test_limits(shared: World, ended: list[Ending]) -> None:
    """Answers and refusals tell the limits of the key, in OpenAI's way and in Anthropic's."""
    key = "sk-limited-ab"
    shared.stand_in.provider.put_limits([Limit(requests=2, tokens=90_000, key=key)])

    def ask_openai() -> None:
        with openai.OpenAI(api_key=key, base_url=f"{shared.url}/v1") as client:
            client.chat.completions.create(**ASK)

    def ask_anthropic() -> None:
        with anthropic.Anthropic(api_key=key, base_url=shared.url) as client:
            client.messages.create(**ASK_CLAUDE)

    shared.once(ask_openai)
    shared.once(ask_anthropic)
    for ask in (ask_openai, ask_anthropic):
        left(shared, lambda ask=ask: shared.once(ask))  # type: ignore[misc]
    told = [{one.unit: one for one in ending.limits} for ending in ended]
    assert [(one["requests"].limit, one["requests"].remaining) for one in told] == [
        *((2, 1), (2, 0)),
        *((2, 0), (2, 0)),
    ]
    assert {one["tokens"].limit for one in told} == {90_000}
    assert not any(one.exhausted for one in ended)


@pytest.mark.parametrize(("name", "status"), [("chat", 429), ("messages", 400), ("converse", 403)])
def test_no_credit(shared: World, ended: list[Ending], name: str, status: int) -> None:
    """An account without credit is told from a limit that passes by itself."""
    say = f"an empty account of {name}"
    shared.stand_in.fail({"kind": "no_credit", "match": say})

    def call() -> None:
        if name == "converse":
            with closing(shapes.bedrock(shared.url)) as client:
                messages = [{"role": "user", "content": [{"text": say}]}]
                client.converse(modelId=BEDROCK, messages=messages)
        ask = {"messages": [{"role": "user", "content": say}]}
        if name == "chat":
            with openai.OpenAI(api_key=KEY, base_url=f"{shared.url}/v1") as gpt:
                gpt.chat.completions.create(**ASK | ask)
        with anthropic.Anthropic(api_key=KEY, base_url=shared.url) as claude:
            claude.messages.create(**ASK_CLAUDE | ask)

    left(shared, lambda: shared.once(call), status)
    assert [one.exhausted for one in ended] == [True]
