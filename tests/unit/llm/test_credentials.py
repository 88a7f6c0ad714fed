"""The fingerprint of the key that pays for a request."""

from __future__ import annotations

import base64
import json

import pytest

from papayya_llm.credentials import fingerprint, is_signed, provider_key

SIGNED = "AWS4-HMAC-SHA256 Credential=AKIAX/20261121/us-east-1/bedrock/aws4_request, Signature=ab"


def token(**claims: object) -> str:
    """Make a JSON Web Token."""
    head, told = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "RS256"}, claims)
    )
    return f"{head}.{told}.c2ln"


@pytest.mark.parametrize(
    ("fields", "query", "secret"),
    [
        ({"authorization": "Bearer sk-a"}, "", "sk-a"),
        ({"authorization": "bearer  sk-a "}, "", "sk-a"),
        ({"x-api-key": "sk-ant"}, "", "sk-ant"),
        ({"api-key": "azure"}, "", "azure"),
        ({"x-goog-api-key": "AIza"}, "", "AIza"),
        ({}, "alt=sse&key=AIza", "AIza"),
        ({"authorization": SIGNED}, "", "AKIAX"),
        ({"authorization": "Basic dTpw"}, "", "Basic dTpw"),
        ({"x-api-key": "sk-ant", "authorization": "Bearer proxy"}, "", "sk-ant"),
    ],
)
def test_credential(fields: dict[str, str], query: str, secret: str) -> None:
    """Every provider's way to send a key is known."""
    assert provider_key(fields, query) == fingerprint(secret)


@pytest.mark.parametrize(
    ("fields", "query"),
    [
        ({}, ""),
        ({}, "monkey=1"),
        ({"authorization": ""}, ""),
        ({"authorization": "Bearer "}, ""),
        ({"authorization": "Bearer ya29.a0AfB"}, ""),
        ({"authorization": f"Bearer {token(exp=1)}"}, ""),
    ],
)
def test_none(fields: dict[str, str], query: str) -> None:
    """Without a key, or with one that lives for an hour and names nobody, there is none."""
    assert provider_key(fields, query) is None


def test_shape() -> None:
    """A fingerprint is 16 hex digits, the same in every process, and not the key's plain hash."""
    assert fingerprint("sk-a") == "a8bd6789e51036c0"


def test_renewed_token() -> None:
    """A token that ends is known by whom it was made out to, so that the next one is the same."""
    found = {
        provider_key({"authorization": f"Bearer {token(iss='i', sub='s', exp=at)}"})
        for at in (1, 2)
    }
    assert len(found) == 1
    assert None not in found


@pytest.mark.parametrize("text", [token(sub="s"), "eyJ.eyJ.x", "eyJ", "eyJhbGciOiJ\udcff.é.x"])
def test_lasting_token(text: str) -> None:
    """A token without an end, and what only looks like one, is a key as any other."""
    assert provider_key({"authorization": f"Bearer {text}"}) == fingerprint(text)


def test_signed() -> None:
    """A signature is told from a key."""
    assert is_signed({"authorization": SIGNED})
    assert not is_signed({"authorization": "Bearer sk-a"})
