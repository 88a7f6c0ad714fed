"""What a call may use at most."""

from __future__ import annotations

import pytest

from papayya_core import bounds
from papayya_core.call import Asked


@pytest.mark.parametrize(
    ("provider", "model", "least"),
    [
        ("openai", "gpt-4o-mini-2024-07-18", 2_833 + 8 * 5_667),
        ("azure.ai.openai", "prod", 2_833 + 8 * 5_667),
        ("openai", "gpt-5.4", 10_000),
        ("anthropic", "claude-opus-4-7", 4_784),
        ("gcp.gemini", "gemini-2.5-flash", 16 * 258),
    ],
)
def test_an_image(provider: str, model: str, least: int) -> None:
    """An image at its full size counts no more than its bound."""
    asked = Asked(provider, "any", model, body_bytes=100, images=2, max_tokens=10, samples=3)
    assert bounds.bound(asked).prompt >= 100 + 2 * least
    assert bounds.bound(asked).output == 30


def test_nonsense() -> None:
    """What no provider would take is a number that Postgres takes."""
    asked = Asked("p", "s", "m", max_tokens=10**12, samples=10**12, images=10**18)
    prompt, output = bounds.bound(asked)
    assert (prompt, output) == (2**62, 2**62)
