"""The beginning of a ledger's entry: what is known of a request before it is judged."""

from __future__ import annotations

import time
from collections import Counter
from hashlib import sha256

from papayya_core.fake_provider.ask import Ask
from papayya_core.fake_provider.book import Entry, key_label
from papayya_core.fake_provider.call import Call
from papayya_core.fake_provider.prices import lookup
from papayya_core.fake_provider.routes import Route
from papayya_core.fake_provider.use import moment


def clock() -> int:
    """Tell the time in microseconds after 1970."""
    return time.time_ns() // 1_000


def begun(call: Call, route: Route, ask: Ask | None, attempts: Counter[str], now: int) -> Entry:
    """Begin the entry of any request; `attempts` counts those of each body so far."""
    # The same body for another model, named by the path, is another request.
    told = f"{route.path}\n".encode() if route.given else b""
    digest = sha256(told + call.body).hexdigest()
    body = ask.body if ask else {}
    user = body.get("user")
    return Entry(
        time=moment(now).isoformat(timespec="microseconds"),
        key=key_label(call.api_key),
        path=route.path,
        model=ask.model if ask else str(route.given.get("model", "")),
        body_sha256=digest,
        attempt=attempts[digest] + 1,
        price_known=ask is not None and lookup(ask.model) is not None,
        status=200,
        stream=ask is not None and ask.stream,
        item_key=call.headers.get("x-item-key"),
        idempotency_key=call.headers.get("idempotency-key"),
        user=user if isinstance(user, str) else None,
        metadata=body.get("metadata", body.get("requestMetadata", body.get("labels"))),
    )
