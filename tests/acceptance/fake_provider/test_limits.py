"""Rate limits and an account without credit, seen through the providers' own clients."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from papayya_core.fake_provider.book import key_label, read
from papayya_core.fake_provider.limits import Limit
from papayya_core.fake_provider.use import beyond
from tests.acceptance.fake_provider.stand_in import CLAUDE, GPT, KEY, PATIENCE_S, StandIn, user

pytestmark = pytest.mark.acceptance
OTHER = "sk-test-org-bb"


def chat(stand_in: StandIn, key: str = KEY, **more: Any) -> Any:
    """Ask for a chat completion, and for its headers."""
    asked = {"model": GPT, "messages": user(), **more}
    return stand_in.openai(key).chat.completions.with_raw_response.create(**asked)


def message(stand_in: StandIn, key: str = KEY, **more: Any) -> Any:
    """Ask for a message, and for its headers."""
    asked = {"model": CLAUDE, "max_tokens": 400, "messages": user(), **more}
    return stand_in.anthropic(key).messages.with_raw_response.create(**asked)


def limit(stand_in: StandIn, **limit: object) -> None:
    """Put a limit in force."""
    stand_in.control("POST", "limits", limit)


@pytest.mark.parametrize("stream", [False, True])
def test_openai(own: StandIn, stream: bool) -> None:
    """Over its limit, OpenAI's client raises RateLimitError, and the answers before count down."""
    limit(own, requests=2, tokens=100_000)
    left = [chat(own, stream=stream).headers["x-ratelimit-remaining-requests"] for _ in range(2)]
    assert left == ["1", "0"]
    with pytest.raises(openai.RateLimitError) as refused:
        chat(own, stream=stream)
    headers = refused.value.response.headers
    assert (refused.value.code, refused.value.type) == ("rate_limit_exceeded", "requests")
    assert 0 < int(headers["retry-after-ms"]) <= int(headers["retry-after"]) * 1_000 <= 30_000
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-limit-tokens"] == "100000"
    assert chat(own, OTHER).headers["x-ratelimit-remaining-requests"] == "1"


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic(own: StandIn, stream: bool) -> None:
    """Over its limit, Anthropic's client raises RateLimitError, with the time of the reset."""
    limit(own, output_tokens=1_000, requests=1)
    told = message(own, stream=stream, max_tokens=900).headers
    assert told["anthropic-ratelimit-output-tokens-limit"] == "1000"
    assert told["anthropic-ratelimit-output-tokens-remaining"] == "100"
    with pytest.raises(anthropic.RateLimitError) as refused:
        message(own, stream=stream)
    assert refused.value.type == "rate_limit_error"
    headers = refused.value.response.headers
    assert 0 < int(headers["retry-after"]) <= 60
    reset = datetime.fromisoformat(headers["anthropic-ratelimit-requests-reset"])
    assert reset - datetime.now(UTC) < timedelta(seconds=61)


def test_own_retries_of_a_client(own: StandIn) -> None:
    """A client that waits as long as it is told is refused at most once."""
    limit(own, tokens=60_000)
    vectors = own.openai(max_retries=1).embeddings
    for tokens in (59_900, 1_100):
        assert vectors.create(model="text-embedding-3-small", input=[1] * tokens).data
    assert [entry["status"] for entry in own.entries()] in ([200, 429, 200], [200, 200])


def test_tokens_come_back(own: StandIn) -> None:
    """Tokens that were expected and not used are there again once the answer has ended."""
    limit(own, tokens=1_000)
    told = int(chat(own, max_tokens=900).headers["x-ratelimit-remaining-tokens"])
    assert told < 100
    deadline = time.monotonic() + PATIENCE_S
    while left(own) <= told + 100:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert chat(own, max_tokens=700).headers["x-ratelimit-limit-tokens"] == "1000"


def left(stand_in: StandIn) -> int:
    """Say what is left of the only bucket."""
    (bucket,) = stand_in.control("GET", "limits")["left"]
    assert (bucket["key"], bucket["unit"]) == (key_label(KEY), "tokens")
    number: int = bucket["left"]
    return number


def test_never_passed(tmp_path: Path) -> None:
    """Many clients at once get no more than the limit; all others are told so, at no cost."""
    spec = f"requests=20,tokens=3000,key={KEY[-2:]}"
    with StandIn(tmp_path, "--limit", spec) as stand_in:

        def one(number: int) -> int:
            key = (KEY, OTHER)[number % 2]
            try:
                chat(stand_in, key, max_tokens=100, user=str(number))
            except openai.RateLimitError as refused:
                return refused.status_code
            return 200

        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(one, range(120)))
        sums = stand_in.control("GET", "ledger")["totals"]
    entries = read(stand_in.ledger_path)
    assert beyond(entries, Limit(requests=20, tokens=3_000, key=KEY[-2:])) == []
    assert {e.key for e in entries if e.refused} == {key_label(KEY)}
    assert all(e.cost_nusd == 0 for e in entries if e.refused)
    assert sums["by_status"] == {"200": statuses.count(200), "429": statuses.count(429)}
    assert sums["refused"] == sum(row["refused"] for row in sums["by_minute"]) > 0
    assert sums["billed"] == sum(row["requests"] for row in sums["by_minute"])


def test_control(own: StandIn) -> None:
    """Limits are listed, replaced by whom they are for, and dropped."""
    limit(own, requests=5)
    limit(own, requests=7)
    limit(own, tokens=9, model="gpt-5*")
    told = own.control("GET", "limits")
    assert [(each["requests"], each["tokens"]) for each in told["limits"]] == [(7, None), (None, 9)]
    assert told["left"] == []
    assert own.control("DELETE", "limits") == {"limits": [], "left": []}


@pytest.mark.parametrize("wrong", [{"request": 1}, {"key": "a"}, 5])
def test_wrong_limit(own: StandIn, wrong: object) -> None:
    """A limit that can't be is turned down, and changes nothing."""
    with pytest.raises(urllib.error.HTTPError) as error:
        own.control("POST", "limits", wrong)
    assert error.value.code == 400
    assert b"requests" in error.value.read()
    error.value.close()
    assert own.control("GET", "limits")["limits"] == []


def test_wrong_argument() -> None:
    """A limit on the command line that can't be ends the process with what is possible."""
    run = [sys.executable, "-m", "papayya_core.fake_provider", "--limit", "rpm=60"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2
    assert "it has requests, tokens" in done.stderr


def test_no_credit(own: StandIn) -> None:
    """Without credit OpenAI's client raises RateLimitError, Anthropic's BadRequestError; free."""
    own.control("POST", "faults", {"kind": "no_credit", "key": KEY[-6:]})
    with pytest.raises(openai.RateLimitError) as poor:
        chat(own)
    assert (poor.value.code, poor.value.type) == ("insufficient_quota", "insufficient_quota")
    assert "retry-after" not in poor.value.response.headers
    with pytest.raises(anthropic.BadRequestError, match="credit balance is too low"):
        message(own)
    own.control("DELETE", "faults")
    asks: list[Callable[..., Any]] = [chat, message]
    assert [ask(own).status_code for ask in asks] == [200, 200]
    assert [entry["status"] for entry in own.entries()] == [429, 400, 200, 200]
