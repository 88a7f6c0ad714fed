"""What an item does after an error that says too many requests."""

from __future__ import annotations

import pytest

from papayya_core.errors import Paused, Throttled
from papayya_core.refusals import NO_CREDIT, throttling


class Busy(Exception):
    """An error of a provider's library."""

    status_code = 429

    def __init__(self, code: object) -> None:
        super().__init__("no")
        self.code = code


@pytest.mark.parametrize("code", sorted(NO_CREDIT))
def test_no_credit(code: str) -> None:
    """An account that must be topped up parks the item, by whatever name a provider calls that."""
    assert isinstance(throttling(Busy(code)), Paused)


@pytest.mark.parametrize("code", ["rate_limit_exceeded", None, 429, ["insufficient_quota"]])
def test_a_limit(code: object) -> None:
    """Any other refusal of a 429 passes by itself, whatever its code is."""
    assert isinstance(throttling(Busy(code)), Throttled)
