"""What became of an exchange that raised."""

from __future__ import annotations

import httpx
import pytest

from papayya_core.call import Limit
from papayya_llm import endings


class StreamClosedError(Exception):
    """As h2 has it."""

    __module__ = "h2.exceptions"


def over_http2() -> httpx.LocalProtocolError:
    """Make the error of a connection that broke down, as httpx raises it."""
    try:
        try:
            raise StreamClosedError  # noqa: TRY301 - as h2 does
        except StreamClosedError:
            raise httpx.LocalProtocolError("closed")  # noqa: B904 - as httpcore does
    except httpx.LocalProtocolError as error:
        return error


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (httpx.ConnectError("refused"), "void"),
        (httpx.LocalProtocolError("illegal header value"), "void"),
        (over_http2(), "uncertain"),
        (httpx.ReadTimeout("late"), "uncertain"),
        (KeyboardInterrupt(), "uncertain"),
    ],
)
def test_sent_or_not(error: BaseException, state: str) -> None:
    """Void is what certainly was not sent; of the rest nobody knows."""
    assert endings.of_error(error, 1.0).state == state


LIMITED = {"x-ratelimit-remaining-requests": "0", "retry-after": "9"}
NO_CREDIT = b'{"error": {"code": "insufficient_quota"}}'


def test_limits() -> None:
    """Answers and refusals tell of limits; a refusal, of credit too."""
    found = [endings.of_answer(status, LIMITED, NO_CREDIT, None, 1.0) for status in (200, 429)]
    assert [one.limits for one in found] == [(Limit("requests", remaining=0),)] * 2
    assert [one.exhausted for one in found] == [False, True]


@pytest.mark.parametrize(("body", "exhausted"), [(NO_CREDIT, True), (b"", False)])
def test_error_with_an_answer(body: bytes, exhausted: bool) -> None:
    """An error that carries the answer tells the same."""
    request = httpx.Request("POST", "https://api.openai.com")
    answer = httpx.Response(429, headers=LIMITED, content=body, request=request)
    ending = endings.of_error(httpx.HTTPStatusError("no", request=request, response=answer), 1.0)
    assert (ending.state, ending.retry_after, ending.exhausted) == ("failed", 9.0, exhausted)
    assert ending.limits == (Limit("requests", remaining=0),)


def test_error_with_an_unread_answer() -> None:
    """An answer that was not read yet tells what its headers tell."""
    request = httpx.Request("POST", "https://api.openai.com")
    answer = httpx.Response(429, headers=LIMITED, stream=httpx.ByteStream(b""), request=request)
    ending = endings.of_error(httpx.HTTPStatusError("no", request=request, response=answer), 1.0)
    assert (ending.exhausted, len(ending.limits)) == (False, 1)
