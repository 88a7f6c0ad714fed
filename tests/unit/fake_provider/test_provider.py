"""The stand-in without its wires: what is said, what is billed, how it is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from papayya_core.fake_provider.call import Call
from papayya_core.fake_provider.faults import KINDS, UNBILLED
from papayya_core.fake_provider.ledger import Ledger
from papayya_core.fake_provider.prices import Usage, price
from papayya_core.fake_provider.provider import Latency, Provider
from papayya_core.fake_provider.rules import read_rules
from tests.unit.fake_provider.asking import (
    BODIES,
    CHAT,
    EVERY,
    MESSAGES,
    RESPONSES,
    ask,
    last,
    said,
)

SCHEMA = {
    "type": "object",
    "properties": {"category": {"enum": ["billing", "technical"]}},
    "required": ["category"],
    "additionalProperties": False,
}
FORM = {"type": "json_schema", "json_schema": {"name": "t", "schema": SCHEMA}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}


@pytest.fixture
def provider() -> Provider:
    """Make a stand-in with a ledger in memory."""
    return Provider(Ledger(None), seed=1)


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
def test_same_seed_same_answer(path: str) -> None:
    """The answer follows from seed, request and ordinal alone."""
    one, two, other = (Provider(Ledger(None), seed=s) for s in (1, 1, 2))
    first = said(ask(one, path))
    assert said(ask(two, path)) == first
    assert said(ask(other, path)) != first
    assert said(ask(one, path)) != first
    assert said(ask(two, path, metadata={"user_id": "u"})) != first


def test_unseen_fields(provider: Provider) -> None:
    """Fields that no model sees change the answer's id, and not what it says."""
    plain = said(ask(provider))
    tagged = said(ask(provider, user="u", metadata={"org": "a"}))
    assert tagged["choices"] == plain["choices"]
    assert tagged["id"] != plain["id"]


def test_failures_take_no_ordinal(provider: Provider) -> None:
    """An answer after a 429 is the one that would have been given before it."""
    expected = said(ask(Provider(Ledger(None), seed=1)))
    ask(provider, headers={"x-fake-fault": "rate_limit"})
    assert (last(provider).attempt, last(provider).ordinal) == (1, 0)
    assert said(ask(provider)) == expected
    assert (last(provider).attempt, last(provider).ordinal) == (2, 1)


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
@pytest.mark.parametrize("kind", [*KINDS, None])
@pytest.mark.parametrize("stream", [False, True])
def test_billing(provider: Provider, path: str, kind: str | None, stream: bool) -> None:
    """Errors cost nothing; all else costs exactly the price of its tokens, delivered or not."""
    more: dict[str, Any] = {"tools": [{"name": "look", "input_schema": SCHEMA}]}
    if path != MESSAGES:
        more = {"tools": [TOOL if path == CHAT else {"type": "function", **TOOL["function"]}]}  # type: ignore[dict-item]
    ask(provider, path, {"x-fake-fault": kind} if kind else {}, stream=stream, **more)
    _check_billed(provider, kind)


@pytest.mark.parametrize("path", EVERY)
@pytest.mark.parametrize("kind", [*KINDS, None])
def test_billing_of_every_dialect(provider: Provider, path: str, kind: str | None) -> None:
    """In every dialect, errors cost nothing and all else the price of its tokens."""
    plan = ask(provider, path, {"x-fake-fault": kind} if kind else {})
    if plan.status == 400 and kind != "no_credit":
        assert kind in {"null_tool_call", "schema_violation", "refusal", "truncation"}
        return
    _check_billed(provider, kind)


def _check_billed(provider: Provider, kind: str | None) -> None:
    """Check the newest entry's cost."""
    entry = last(provider)
    used = Usage(input=entry.prompt_tokens, output=entry.output_tokens)
    assert entry.cost_nusd == price(entry.model, used)
    assert entry.price_known
    assert entry.fault == kind
    free = kind in UNBILLED
    assert (entry.cost_nusd == 0) == free
    assert (entry.ordinal == 0) == free


@pytest.mark.parametrize("path", EVERY)
@pytest.mark.parametrize("text", ["", "a", "é" * 9, "{}[]" * 9, "日本語" * 9])
def test_prompts_are_bounded_by_bytes(path: str, text: str) -> None:
    """No prompt of words has more tokens than its request has bytes, so a bound per byte holds."""
    provider = Provider(Ledger(None))
    body = json.dumps(BODIES[path], ensure_ascii=False).replace("An invoice", text or "?")
    provider.answer(Call(path, {}, body.encode()))
    assert 0 < last(provider).prompt_tokens <= len(body.encode())


def test_usage_in_the_answer(provider: Provider) -> None:
    """The answer's usage is the ledger's."""
    usage = said(ask(provider, n=3))["usage"]
    entry = last(provider)
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (
        entry.prompt_tokens,
        entry.output_tokens,
    )


def test_how_faults_are_sent(provider: Provider) -> None:
    """Slow waits, timeout is silent, and a cut sends a part only."""
    slow = ask(provider, headers={"x-fake-fault": "slow;seconds=3"})
    assert (slow.wait_s, slow.whole, slow.silent) == (3, True, False)
    silent = ask(provider, headers={"x-fake-fault": "timeout"})
    assert (silent.wait_s, silent.silent) == (600, True)
    reset = ask(provider, headers={"x-fake-fault": "reset"})
    assert (reset.wait_s, reset.silent, reset.torn) == (0, True, True)
    cut = ask(provider, headers={"x-fake-fault": "cut_stream"})
    assert cut.length is not None
    assert 0 < len(b"".join(cut.frames)) < cut.length
    whole = ask(provider, stream=True)
    part = ask(provider, stream=True, headers={"x-fake-fault": "cut_stream;after=999"})
    assert not part.whole
    assert whole.frames[-1] not in part.frames


def test_cut_of_a_short_stream(provider: Provider) -> None:
    """Even the shortest stream is cut after its first event and before its end."""
    ask(provider, headers={"x-item-key": "warm"})
    provider.add_rules(read_rules({"kind": "cut_stream", "params": {"after": 1}}))
    plan = ask(provider, MESSAGES, stream=True)
    assert len(plan.frames) == 1
    assert b"message_start" in plan.frames[0]


def test_latency() -> None:
    """Latency is the same for the same request, and between its bounds."""
    waits = []
    for _ in range(2):
        provider = Provider(Ledger(None), latency=Latency(10, 20))
        waits.append([ask(provider, user=str(n)).wait_s for n in range(20)])
    assert waits[0] == waits[1]
    assert len(set(waits[0])) > 10
    assert all(0.010 <= wait < 0.020 for wait in waits[0])


@pytest.mark.parametrize(
    ("path", "more", "says"),
    [
        (CHAT, {"messages": None}, "messages"),
        (CHAT, {"messages": ["x"]}, "messages"),
        (CHAT, {"messages": [{"role": "user", "content": [1]}]}, "Content"),
        (CHAT, {"model": 1}, "model"),
        (CHAT, {"n": 0}, "n"),
        (CHAT, {"n": 999}, "n"),
        (CHAT, {"stream": "yes"}, "stream"),
        (CHAT, {"tools": [{"type": "function"}]}, "name"),
        (CHAT, {"tools": [TOOL], "tool_choice": {"function": {"name": "no"}}}, "tool_choice"),
        (CHAT, {"response_format": {"type": "json_schema"}}, "json_schema"),
        (CHAT, {"stream_options": 1, "stream": True}, "stream_options"),
        (RESPONSES, {"input": None}, "input"),
        (RESPONSES, {"input": []}, "input"),
        (MESSAGES, {"max_tokens": None}, "max_tokens"),
        (MESSAGES, {"max_tokens": True}, "max_tokens"),
        (MESSAGES, {"output_config": {"format": {"type": "json_schema", "schema": []}}}, "schema"),
    ],
)
def test_bad_requests(provider: Provider, path: str, more: dict[str, Any], says: str) -> None:
    """What can't be read is a 400 that names the field, and is free."""
    plan = ask(provider, path, **more)
    assert plan.status == 400
    assert says in said(plan)["error"]["message"]
    assert (last(provider).status, last(provider).cost_nusd) == (400, 0)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_bad_bodies(provider: Provider, body: bytes) -> None:
    """A body that is not a JSON object is a 400."""
    assert provider.answer(Call(CHAT, {}, body)).status == 400


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": []},
        {"type": "object", "properties": {"a": 5}},
        {"type": 7},
        {"enum": 3},
        {"minimum": "x", "type": "integer"},
        {"$ref": "https://example.com"},
        {"anyOf": {"a": 1}},
    ],
)
@pytest.mark.parametrize("fault", [{}, {"x-fake-fault": "schema_violation"}])
def test_bad_schemas(provider: Provider, schema: object, fault: dict[str, str]) -> None:
    """A schema that can't be read is a 400, and no mistake of ours."""
    form = {"type": "json_schema", "json_schema": {"name": "t", "schema": schema}}
    assert ask(provider, headers=fault, response_format=form).status == 400


def test_tool_choice(provider: Provider) -> None:
    """The choice of tools is obeyed."""

    def called(**more: Any) -> tuple[list[str], str]:
        choice = said(ask(provider, tools=[TOOL, other], **more))["choices"][0]
        calls = choice["message"].get("tool_calls") or []
        return [call["function"]["name"] for call in calls], choice["finish_reason"]

    other = {"type": "function", "function": {"name": "invoice_lookup"}}
    assert called() == (["invoice_lookup"], "tool_calls")
    assert called(tool_choice="none") == ([], "stop")
    assert called(tool_choice={"type": "function", "function": {"name": "look"}}) == (
        ["look"],
        "stop",
    )
    assert called(tool_choice="required", messages=[{"role": "tool", "content": "x"}])[0]


def test_schema_answers(provider: Provider) -> None:
    """A schema's enum follows the ticket; a violation is JSON that does not fit."""
    plain = said(ask(provider, response_format=FORM))["choices"][0]["message"]["content"]
    assert json.loads(plain) == {"category": "billing"}
    plan = ask(provider, response_format=FORM, headers={"x-fake-fault": "schema_violation"})
    wrong = said(plan)["choices"][0]
    assert wrong["finish_reason"] == "stop"
    assert json.loads(wrong["message"]["content"]) in ({}, {"category": "billing_other"})


def test_violation_of_the_json_mode(provider: Provider) -> None:
    """Where any object would do, a violation is no JSON at all."""
    asked = {"type": "json_object"}
    plan = ask(provider, response_format=asked, headers={"x-fake-fault": "schema_violation"})
    with pytest.raises(ValueError, match="Expecting|Unterminated"):  # noqa: RUF043
        json.loads(said(plan)["choices"][0]["message"]["content"])


def test_multimodal_prompts(provider: Provider) -> None:
    """Pictures count a fixed number of tokens, and their data none."""
    text = {"type": "text", "text": "What is this?"}
    picture = {"type": "image_url", "image_url": {"url": "data:," + "A" * 9_000}}
    ask(provider, messages=[{"role": "user", "content": [text]}])
    before = last(provider).prompt_tokens
    ask(provider, messages=[{"role": "user", "content": [text, picture]}])
    assert last(provider).prompt_tokens == before + 85


def test_strange_texts(provider: Provider) -> None:
    """NUL, lone surrogates and other scripts come back as valid JSON."""
    strange = "\x00 \ud800 日本語 🎟 é"
    for path, more in (
        (CHAT, {"messages": [{"role": "user", "content": strange}]}),
        (RESPONSES, {"input": strange}),
    ):
        assert said(ask(provider, path, **more))["id"]
        assert all(frame.isascii() for frame in ask(provider, path, stream=True, **more).frames)
