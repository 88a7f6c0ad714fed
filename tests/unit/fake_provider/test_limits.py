"""Rate limits: how they are written, what they let in, and what they say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from papayya_core.fake_provider.bucket import MINUTE_US
from papayya_core.fake_provider.ledger import Ledger
from papayya_core.fake_provider.limits import BadLimit, Limit, from_specs, read_limits
from papayya_core.fake_provider.plan import Plan
from papayya_core.fake_provider.provider import Provider
from papayya_core.fake_provider.shapes.limits import duration
from papayya_core.fake_provider.use import beyond
from tests.unit.fake_provider.asking import (
    CHAT,
    CONVERSE,
    EMBEDDINGS,
    EVERY,
    GOOGLE,
    MESSAGES,
    RESPONSES,
    ask,
    last,
    said,
)

START_US = 1_800_000_000_000_000
SECOND_US = MINUTE_US // 60
OPENAI = (CHAT, RESPONSES, EMBEDDINGS)


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    us: int = START_US

    def __call__(self) -> int:
        """Tell the time."""
        return self.us

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.us += round(seconds * SECOND_US)


def limited(*limits: Limit) -> tuple[Provider, Clock]:
    """Make a stand-in with limits, and its clock."""
    clock = Clock()
    return Provider(Ledger(None), limits=limits, clock=clock), clock


def end(provider: Provider) -> None:
    """End the newest answer."""
    provider.end(last(provider).id, delivered=True)


# --- how they are written ----------------------------------------------------------------------


def test_spec() -> None:
    """The short form names units, key and model."""
    one, two = from_specs(["requests=60, tokens=10000", "input_tokens=5,key=aa,model=gpt-5*"])
    assert one == Limit(requests=60, tokens=10_000)
    assert two == Limit(input_tokens=5, key="aa", model="gpt-5*")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("", "at least one of requests"),
        ("key=a", "at least one of requests"),
        ("requests", "NAME=VALUE"),
        ("requests=1,requests=2", "once"),
        ("requests=0", "whole number from 1"),
        ("requests=1.5", "whole number from 1"),
        ("reqs=1", "it has requests, tokens"),
        ("requests=1,key=", "a text"),
    ],
)
def test_bad_spec(spec: str, says: str) -> None:
    """A limit that can't be is turned down, with what is possible."""
    with pytest.raises(BadLimit, match=says):
        from_specs([spec])


def test_json() -> None:
    """JSON gives one limit, a list, or an object with a list; null counts as absent."""
    one = Limit(requests=1, key="a")
    given = {"requests": 1, "key": "a", "model": None}
    assert read_limits(given) == read_limits([given]) == read_limits({"limits": [given]}) == [one]
    for wrong in ("x", {"requests": True}, {"requests": 1, "key": 5}):
        with pytest.raises(BadLimit):
            read_limits(wrong)


# --- what they let in --------------------------------------------------------------------------


@pytest.mark.parametrize("path", EVERY)
def test_requests(path: str) -> None:
    """The request after the last allowed one is a 429, unbilled; after its wait it gets in."""
    provider, clock = limited(Limit(requests=2))
    assert [ask(provider, path).status for _ in range(3)] == [200, 200, 429]
    entry = last(provider)
    assert (entry.status, entry.refused, entry.fault) == (429, "requests", None)
    assert (entry.cost_nusd, entry.ordinal) == (0, 0)
    clock.move(29.999)
    assert ask(provider, path).status == 429
    clock.move(0.001)
    assert ask(provider, path).status == 200


@pytest.mark.parametrize("path", EVERY)
def test_tokens(path: str) -> None:
    """Tokens are expected when a request comes, and those not used come back at its end."""
    provider, _ = limited(Limit(tokens=800))
    assert ask(provider, path).status == 200
    ((*_, expected),) = provider.levels()
    end(provider)
    ((*_, corrected),) = provider.levels()
    used = last(provider).prompt_tokens + last(provider).output_tokens
    assert expected.left < corrected.left or path == EMBEDDINGS
    assert corrected.left == 800 - used


def test_expected_tokens() -> None:
    """The prompt and max_tokens of each sample count at first, or 256 where that is not given."""
    provider, _ = limited(Limit(input_tokens=5_000, output_tokens=5_000))

    def left() -> list[int]:
        return [gauge.left for *_, gauge in provider.levels()]

    ask(provider, max_tokens=100, n=3)
    assert left() == [5_000 - last(provider).prompt_tokens, 4_700]
    ask(provider)
    assert left()[1] == 4_700 - 256


def test_too_large() -> None:
    """A request that no minute has room for is turned down without a time to come again."""
    provider, clock = limited(Limit(tokens=100))
    plan = ask(provider, max_tokens=100)
    error = said(plan)["error"]
    assert (plan.status, error["type"], error["code"]) == (429, "tokens", "rate_limit_exceeded")
    assert "Request too large" in error["message"]
    assert "retry-after" not in plan.headers
    clock.move(600)
    assert ask(provider, max_tokens=100).status == 429
    assert ask(provider, max_tokens=50).status == 200


def test_refused_takes_nothing() -> None:
    """A request that is turned down, wrong or failed on purpose takes nothing from any limit."""
    provider, _ = limited(Limit(requests=5, tokens=600))
    assert ask(provider, max_tokens=500).status == 200
    before = provider.levels()
    for headers, more in (
        ({}, {"max_tokens": 500}),
        ({}, {"messages": None}),
        ({"x-fake-fault": "server_error"}, {}),
        ({"x-fake-fault": "boom"}, {}),
        ({}, {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 7}}}}),
    ):
        assert ask(provider, CHAT, headers, **more).status >= 400
    assert provider.levels() == before


def test_keys_and_models() -> None:
    """Each key has a limit for itself; models that fit one share it; all that fit must do."""
    provider, _ = limited(
        Limit(requests=3), Limit(requests=1, model="gpt-5*"), Limit(requests=2, key="-bb")
    )

    def status(key: str, model: str) -> int:
        return ask(provider, CHAT, {"x-api-key": key}, model=model).status

    assert [status("sk-aa", model) for model in ("gpt-5", "gpt-5-mini", "gpt-4.1")] == [
        200,
        429,
        200,
    ]
    assert [status("sk-bb", "gpt-4.1") for _ in range(3)] == [200, 200, 429]
    assert [status("sk-aa", "gpt-4.1") for _ in range(2)] == [200, 429]


def test_model_of_bedrock() -> None:
    """A limit for a model's own name is for Bedrock's name of it, too."""
    provider, _ = limited(Limit(requests=1, model="claude-haiku-4-5*"))
    assert [ask(provider, CONVERSE).status for _ in range(2)] == [200, 429]


def test_changed_limits() -> None:
    """A limit for the same key and model takes the place of the former, full; all can go."""
    provider, _ = limited(Limit(requests=1))
    ask(provider)
    provider.put_limits([Limit(requests=2)])
    assert [ask(provider).status for _ in range(3)] == [200, 200, 429]
    provider.clear_limits()
    assert ask(provider).status == 200
    assert provider.levels() == []


# --- what they say -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", OPENAI)
@pytest.mark.parametrize("stream", [False, True])
def test_openai_headers(path: str, stream: bool) -> None:
    """OpenAI's answers tell limits, what is left, and when all of it is."""
    provider, _ = limited(Limit(requests=60, tokens=6_000))
    more: dict[str, Any] = {} if path == EMBEDDINGS else {"stream": stream}
    told = ask(provider, path, **more).headers
    ((*_, tokens),) = [level for level in provider.levels() if level[2] == "tokens"]
    assert told["x-ratelimit-limit-requests"] == "60"
    assert told["x-ratelimit-remaining-requests"] == "59"
    assert told["x-ratelimit-reset-requests"] == "1s"
    assert told["x-ratelimit-limit-tokens"] == "6000"
    assert told["x-ratelimit-remaining-tokens"] == str(tokens.left)
    assert told["x-ratelimit-reset-tokens"] == duration((6_000 - tokens.left) * 10_000)


def test_anthropic_headers() -> None:
    """Anthropic's answers tell the same by kind of token, with times."""
    provider, _ = limited(Limit(requests=60, input_tokens=6_000, output_tokens=1_000))
    told = ask(provider, MESSAGES, max_tokens=500).headers
    head = "anthropic-ratelimit-"
    assert (told[f"{head}requests-limit"], told[f"{head}requests-remaining"]) == ("60", "59")
    assert told[f"{head}requests-reset"] == "2027-01-15T08:00:01Z"
    assert told[f"{head}output-tokens-remaining"] == "500"
    assert told[f"{head}output-tokens-reset"] == "2027-01-15T08:00:30Z"
    assert told[f"{head}input-tokens-limit"] == "6000"
    assert told[f"{head}tokens-limit"] == "1000"


def test_anthropic_tokens() -> None:
    """Where only tokens in all are limited, that is what Anthropic's headers for each kind say."""
    provider, _ = limited(Limit(tokens=6_000))
    told = ask(provider, MESSAGES).headers
    names = ("tokens", "input-tokens", "output-tokens")
    assert {told[f"anthropic-ratelimit-{name}-limit"] for name in names} == {"6000"}
    assert "anthropic-ratelimit-requests-limit" not in told


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (CHAT, {"code": "rate_limit_exceeded", "type": "tokens"}),
        (MESSAGES, {"type": "rate_limit_error"}),
        (GOOGLE, {"status": "RESOURCE_EXHAUSTED", "code": 429}),
    ],
)
def test_refusals(path: str, says: dict[str, object]) -> None:
    """A refusal is written as the provider does, with the seconds to wait, rounded up."""
    plan = refused(path)
    error = said(plan)["error"]
    assert {name: error[name] for name in says} == says
    assert plan.status == 429
    assert 1 <= int(plan.headers["retry-after"]) <= 60
    if path == CHAT:
        after_ms = int(plan.headers["retry-after-ms"])
        assert 0 <= int(plan.headers["retry-after"]) * 1_000 - after_ms < 1_000
        assert f"try again in {after_ms}ms" in error["message"]


def refused(path: str) -> Plan:
    """Ask until tokens run short."""
    provider, _ = limited(Limit(requests=500, tokens=1_000))
    while (plan := ask(provider, path)).status == 200:
        pass
    return plan


def test_refusal_of_bedrock() -> None:
    """Bedrock throttles by name."""
    assert refused(CONVERSE).headers["x-amzn-errortype"] == "ThrottlingException"


def test_fault_of_a_limited_key() -> None:
    """A rate limit on purpose tells the key's own limits, with nothing left."""
    provider, _ = limited(Limit(requests=60))
    told = ask(provider, headers={"x-fake-fault": "rate_limit;retry_after=6"}).headers
    assert told["x-ratelimit-limit-requests"] == "60"
    assert told["x-ratelimit-remaining-requests"] == "0"
    assert (told["x-ratelimit-reset-requests"], told["retry-after-ms"]) == ("6s", "6000")


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (120_000, "120ms"),
        (999_001, "1s"),
        (1_500_000, "1.5s"),
        (59_888_000, "59.888s"),
        (360_000_000, "6m0s"),
        (72_500_000, "1m12.5s"),
        (3_600_000_000, "1h0m0s"),
    ],
)
def test_duration(us: int, text: str) -> None:
    """Times are written as Go does."""
    assert duration(us) == text


# --- an account without credit -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        *((path, 429, "insufficient_quota") for path in OPENAI),
        (MESSAGES, 400, "credit balance is too low"),
        (GOOGLE, 429, "exceeded your current quota"),
        (CONVERSE, 403, "INVALID_PAYMENT_INSTRUMENT"),
    ],
)
def test_no_credit(path: str, status: int, says: str) -> None:
    """An account without credit gets its provider's error, with nothing to wait for."""
    provider, _ = limited()
    plan = ask(provider, path, {"x-fake-fault": "no_credit"})
    assert plan.status == status
    assert says.encode() in b"".join(plan.frames)
    assert not [name for name in plan.headers if "retry" in name or "ratelimit" in name]
    assert (last(provider).fault, last(provider).cost_nusd) == ("no_credit", 0)


def test_no_credit_by_another_status() -> None:
    """The status of an account without credit can be given, for providers that say 402."""
    provider, _ = limited()
    assert ask(provider, headers={"x-fake-fault": "no_credit;status=402"}).status == 402


# --- the ledger --------------------------------------------------------------------------------


def test_kept_to() -> None:
    """What a limit let in never goes beyond it, and would beyond a smaller one."""
    limit = Limit(requests=30, tokens=3_000)
    provider, clock = limited(limit)
    for number in range(120):
        most = 60 if number < 90 else 2_900
        ask(provider, CHAT, {"x-api-key": "sk-aa"}, max_tokens=most, user=str(number))
        end(provider)
        clock.move(0.7)
    entries = provider.ledger.entries()
    assert {entry.refused for entry in entries} == {None, "requests", "tokens"}
    assert beyond(entries, limit) == []
    assert beyond(entries, Limit(requests=29))
    assert beyond(entries, Limit(tokens=1_000, key="sk-aa", model="gpt-5"))
    assert beyond(entries, Limit(tokens=1_000, key="sk-bb")) == []
    assert beyond(entries, Limit(tokens=1_000, model="gpt-5-*")) == []
