"""Which key pays for a request: a fingerprint, from which nobody gets the key back. Pure.

What is renewed every hour names nobody: a token is known by whom it was made out to, or not at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from urllib.parse import parse_qs

_SALT = b"papayya key\0"
_FIELDS = ("x-api-key", "api-key", "x-goog-api-key")
_SIGNED = "AWS4-"
_GOOGLE = "ya29."  # an access token: it lives for an hour, and does not say whose it is
_TOKEN = "eyJ"  # noqa: S105 - how every JSON Web Token begins


def fingerprint(secret: str) -> str:
    """Name a secret in 16 hex digits."""
    told = _SALT + secret.encode("utf-8", "surrogatepass")
    return hashlib.sha256(told).hexdigest()[:16]


def provider_key(fields: Mapping[str, str], query: str = "") -> str | None:
    """Name the credential of a request; None for one that has none, or none that lasts.

    ``fields``: headers, found by lower-case names. ``query``: of the URL; Google takes keys there.
    """
    found = next((value for name in _FIELDS if (value := fields.get(name))), None)
    found = found or _authorised(fields.get("authorization") or "") or _in_query(query)
    return fingerprint(found) if found else None


def is_signed(fields: Mapping[str, str]) -> bool:
    """Tell whether a request is signed with its body, which then cannot be another one."""
    return (fields.get("authorization") or "").startswith(_SIGNED)


def _authorised(text: str) -> str:
    if text.startswith(_SIGNED):
        return text.partition("Credential=")[2].partition("/")[0]
    kind, _, token = text.strip().partition(" ")
    if kind.lower() != "bearer":
        return text
    token = token.strip()
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


def _in_query(query: str) -> str:
    return parse_qs(query).get("key", [""])[0] if "key=" in query else ""
