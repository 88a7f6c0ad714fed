"""Which key pays for a request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs

from papayya_core.keyprints import fingerprint, lasting

__all__ = ["fingerprint", "is_signed", "provider_key"]

_FIELDS = ("x-api-key", "api-key", "x-goog-api-key")
_SIGNED = "AWS4-"


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
    return lasting(token.strip())


def _in_query(query: str) -> str:
    return parse_qs(query).get("key", [""])[0] if "key=" in query else ""
