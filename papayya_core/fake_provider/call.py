"""A request as it came over the wire."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/")
_HEADERS = ("x-api-key", "x-goog-api-key", "api-key")


@dataclass(frozen=True, slots=True)
class Call:
    """A POST; `path` has its query, and header names are lower-case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def api_key(self) -> str:
        """The key it was sent with, in any provider's way; of a signature, the key's id."""
        for name in _HEADERS:
            if self.headers.get(name):
                return self.headers[name]
        authorization = self.headers.get("authorization", "")
        if signed := _SIGNED.match(authorization):
            return signed[1]
        asked = parse_qs(urlsplit(self.path).query).get("key", [""])[0]
        return authorization.removeprefix("Bearer ").strip() or asked

    @property
    def takes_gzip(self) -> bool:
        """Say whether the client would read gzip."""
        return "gzip" in self.headers.get("accept-encoding", "").lower()

    @property
    def wants_gzip(self) -> bool:
        """Say whether the client asks for gzip even where that isn't the setting."""
        return self.headers.get("x-fake-gzip") == "1"
