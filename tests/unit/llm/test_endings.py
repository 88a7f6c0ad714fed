"""What became of an exchange that raised."""

from __future__ import annotations

import httpx
import pytest

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
