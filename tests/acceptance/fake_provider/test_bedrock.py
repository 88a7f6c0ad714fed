"""Amazon Bedrock, seen through boto3 and through Anthropic's client for it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from papayya_core.fake_provider.book import key_label
from papayya_core.fake_provider.prices import Usage, price
from tests.acceptance.fake_provider.stand_in import TICKET, StandIn, user

pytestmark = pytest.mark.acceptance

# boto3 has no types.
boto3: Any = importlib.import_module("boto3")
botocore_config: Any = importlib.import_module("botocore.config")
botocore_exceptions: Any = importlib.import_module("botocore.exceptions")
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
KEY = "AKIATESTKEY"
TOOL = {
    "name": "get_weather",
    "inputSchema": {
        "json": {
            "type": "object",
            "properties": {"unit": {"enum": ["celsius", "fahrenheit"]}},
            "required": ["unit"],
        }
    },
}
MESSAGE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 200, "messages": user()}


def connect(stand_in: StandIn, fault: str | None = None, **options: Any) -> Any:
    """Connect boto3's client, without its own retries, and with a fault in its headers."""
    settings = {"retries": {"total_max_attempts": 1}, **options}
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=stand_in.url,
        aws_access_key_id=KEY,
        aws_secret_access_key="secret",
        config=botocore_config.Config(**settings),
    )

    def ask_for_fault(request: Any, **_: Any) -> None:
        request.headers["x-fake-fault"] = fault

    if fault:
        client.meta.events.register("before-sign.bedrock-runtime", ask_for_fault)
    return client


@pytest.fixture
def client(shared: StandIn) -> Iterator[Any]:
    """Connect boto3's client."""
    made = connect(shared)
    yield made
    made.close()


def said(text: str = TICKET) -> list[Any]:
    """Make a conversation of one message, as Converse has it."""
    return [{"role": "user", "content": [{"text": text}]}]


def entry(stand_in: StandIn, answer: Any) -> dict[str, Any]:
    """Find the ledger's entry of an answer by the request's id."""
    number = int(answer["ResponseMetadata"]["RequestId"].removeprefix("req_"))
    (found,) = [each for each in stand_in.entries() if each["id"] == number]
    return found


def cost(usage: Any) -> int:
    """Price a usage as Converse has it."""
    used = Usage(
        input=usage["inputTokens"],
        cached=usage["cacheReadInputTokens"],
        written=usage["cacheWriteInputTokens"],
        output=usage["outputTokens"],
    )
    return price(HAIKU, used)


def test_converse(shared: StandIn, client: Any) -> None:
    """An answer has text, a stop reason, and the usage that the ledger has."""
    made = client.converse(modelId=HAIKU, messages=said(), requestMetadata={"org": "a"})
    assert made["output"]["message"]["content"][0]["text"]
    assert made["stopReason"] == "end_turn"
    found = entry(shared, made)
    assert found["cost_nusd"] == cost(made["usage"]) > 0
    assert (found["model"], found["price_known"]) == (HAIKU, True)
    assert (found["key"], found["metadata"]) == (key_label(KEY), {"org": "a"})


def test_converse_stream(shared: StandIn, client: Any) -> None:
    """A stream joins to the answer that is given without streaming, usage included."""
    limits = {"maxTokens": 300}
    talk = said("Something else.")
    plain = client.converse(modelId=HAIKU, messages=talk, inferenceConfig=limits)
    answer = client.converse_stream(modelId=HAIKU, messages=talk, inferenceConfig=limits)
    events = list(answer["stream"])
    text = "".join(
        event["contentBlockDelta"]["delta"]["text"]
        for event in events
        if "contentBlockDelta" in event
    )
    assert text == plain["output"]["message"]["content"][0]["text"]
    assert events[-1]["metadata"]["usage"] == plain["usage"]
    assert entry(shared, answer)["stream"] is True


def test_converse_tool(client: Any) -> None:
    """A tool is used with an input that its schema allows, and not again after its result."""
    asked = {"modelId": HAIKU, "toolConfig": {"tools": [{"toolSpec": TOOL}]}}
    made = client.converse(**asked, messages=said("Weather?"))
    message = made["output"]["message"]
    call = message["content"][0]["toolUse"]
    assert made["stopReason"] == "tool_use"
    assert call["input"]["unit"] in {"celsius", "fahrenheit"}
    result = {"toolUseId": call["toolUseId"], "content": [{"text": "21 degrees"}]}
    talk = [*said("Weather?"), message, {"role": "user", "content": [{"toolResult": result}]}]
    spoken = client.converse(**asked, messages=talk)
    assert spoken["output"]["message"]["content"][0]["text"]


def test_converse_thoughts(shared: StandIn, client: Any) -> None:
    """Thoughts come before the answer, and are billed as output."""
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1_024}}
    made = client.converse(modelId=HAIKU, messages=said(), additionalModelRequestFields=thinking)
    first, second = made["output"]["message"]["content"]
    assert first["reasoningContent"]["reasoningText"]["signature"]
    assert second["text"]
    found = entry(shared, made)
    assert 0 < found["reasoning_tokens"] < found["output_tokens"]
    assert found["cost_nusd"] == cost(made["usage"])


@pytest.mark.parametrize("stream", [False, True])
def test_invoke(shared: StandIn, client: Any, stream: bool) -> None:
    """InvokeModel takes and gives Anthropic's messages, streamed or not."""
    asked = {"modelId": HAIKU, "body": json.dumps(MESSAGE)}
    if stream:
        answer = client.invoke_model_with_response_stream(**asked)
        events = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
        own, usage = events[0]["message"]["id"], events[-2]["usage"]
    else:
        answer = client.invoke_model(**asked)
        made = json.loads(answer["body"].read())
        own, usage = made["id"], made["usage"]
    found = entry(shared, answer)
    used = Usage(input=usage["input_tokens"], output=usage["output_tokens"])
    assert found["cost_nusd"] == price(HAIKU, used) > 0
    assert found["response_id"] == own


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_client(shared: StandIn, stream: bool) -> None:
    """Anthropic's own client for Bedrock is answered too."""
    client = anthropic.AnthropicBedrock(
        base_url=shared.url,
        aws_access_key=KEY,
        aws_secret_key="secret",
        aws_region="us-east-1",
        max_retries=0,
    )
    asked: Any = {"model": HAIKU, "max_tokens": 300, "messages": user()}
    with client:
        if stream:
            with client.messages.stream(**asked) as events:
                made = events.get_final_message()
        else:
            made = client.messages.create(**asked)
    assert made.id.startswith("msg_bdrk_")
    assert made.stop_reason == "end_turn"
    assert made.id in [each["response_id"] for each in shared.entries()]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("rate_limit", "ThrottlingException"),
        ("server_error", "InternalServerException"),
        ("overloaded", "ServiceUnavailableException"),
    ],
)
def test_errors(shared: StandIn, fault: str, code: str) -> None:
    """Errors reach the client as such, and cost nothing."""
    client = connect(shared, fault)
    with pytest.raises(botocore_exceptions.ClientError) as failed:
        client.converse(modelId=HAIKU, messages=said())
    assert failed.value.response["Error"]["Code"] == code
    assert entry(shared, failed.value.response)["cost_nusd"] == 0
    client.close()


def test_cut_stream(shared: StandIn) -> None:
    """A stream that is cut fails in the client after some events, and is billed in full."""
    client = connect(shared, "cut_stream;after=4")
    answer = client.converse_stream(modelId=HAIKU, messages=said("Cut me."))
    events: list[Any] = []
    with pytest.raises(Exception, match=r"(?i)connection|incomplete|ended prematurely"):
        events.extend(iter(answer["stream"]))
    assert entry(shared, answer)["cost_nusd"] > 0
    client.close()


def test_lost_answers(shared: StandIn) -> None:
    """An answer that is never sent is billed, as often as the client asks for it."""
    before = len(shared.entries())
    client = connect(shared, "reset", retries={"total_max_attempts": 2})
    with pytest.raises(botocore_exceptions.HTTPClientError):
        client.converse(modelId=HAIKU, messages=said("Lose me."))
    lost = shared.entries()[before:]
    assert [(each["status"], each["cost_nusd"] > 0) for each in lost] == [(None, True)] * 2
    client.close()
