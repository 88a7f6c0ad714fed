"""Fingerprints of the keys that pay for calls: nobody gets the key back from one. Pure.

What is renewed every hour names nobody: a token is known by whom it was made out to, or not at all.
"""

from __future__ import annotations

import base64
import hashlib
import json

_SALT = b"papayya key\0"
_GOOGLE = "ya29."  # an access token: it lives for an hour, and does not say whose it is
_TOKEN = "eyJ"  # noqa: S105 - how every JSON Web Token begins


def fingerprint(secret: str) -> str:
    """Name a secret in 16 hex digits."""
    told = _SALT + secret.encode("utf-8", "surrogatepass")
    return hashlib.sha256(told).hexdigest()[:16]


def lasting(token: str) -> str:
    """Return what of a bearer's token stays the same: the key itself, or whom it was made out to.

    Empty: nothing does.
    """
    if token.startswith(_GOOGLE):
        return ""
    return _subject(token) if token.startswith(_TOKEN) else token


def _subject(token: str) -> str:
    """Say whom a JSON Web Token that ends was made out to; else return it: it is a key."""
    claims = token.split(".")[1:2]
    try:
        told = json.loads(base64.urlsafe_b64decode(f"{claims[0]}===")) if claims else {}
    except ValueError:
        return token
    if not isinstance(told, dict) or "exp" not in told:
        return token
    return json.dumps([told.get("iss"), told.get("sub")]) if told.get("sub") else ""
