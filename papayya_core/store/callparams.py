"""Between calls and the parameters of their SQL functions. No I/O."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from papayya_core import redaction, refusals, rules, vault
from papayya_core.contract import Body
from papayya_core.store import rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from papayya_core.bounds import Bound
    from papayya_core.call import Answered, Asked, Ending, Tokens
    from papayya_core.contract import Capture

_MOST_SAMPLES = 2**31 - 1
_FIELDS = ("hash", "codec", "size", "body")


def token() -> int:
    """Name one statement, so that it counts once however often it is sent."""
    return secrets.randbits(62)


def kept(data: bytes | None, capture: Capture, limit: int) -> Body | None:
    """Pack what is kept of a request or an answer; with ``hash``, or too large, its name alone."""
    if data is None or capture == "off":
        return None
    if capture == "hash" or len(data) > limit:
        return Body(vault.name(data), 0, len(data), b"")
    return rows.pack_bytes(data)


def payload(body: Body | None, prefix: str = "") -> dict[str, Any]:
    """Name the parameters of a payload."""
    values = (None,) * len(_FIELDS) if body is None else (*body[:-1], body.data or None)
    return dict(zip((prefix + name for name in _FIELDS), values, strict=True))


def hold_params(
    asked: Asked, most: Bound, bound_nusd: int | None, url: str, request: Body | None
) -> dict[str, Any]:
    """Name the parameters of ``hold`` that come from the request."""
    return {
        "kind": asked.kind,
        "provider": asked.provider,
        "schema": asked.schema,
        "url": rules.presentable(url),
        "model": rules.storable(asked.model),
        "streamed": asked.stream,
        "samples": min(asked.samples, _MOST_SAMPLES),
        "tools": _texts(asked.tools),
        "prompt": most.prompt,
        "output": most.output,
        "bound": bound_nusd,
        "unbounded": asked.unbounded,
    } | payload(request)


def settle_params(ending: Ending) -> dict[str, Any]:
    """Name the parameters of ``settle`` that say how the exchange ended."""
    return {
        "state": ending.state,
        "status": ending.status,
        "headers": _headers(ending.headers),
        "retry_after": ending.retry_after,
        "request_id": _text(ending.request_id),
        "sdk_retries": ending.sdk_retries,
        "error": None if ending.error is None else shown(ending.error),
        "seconds": ending.seconds,
        "first_seconds": ending.first_seconds,
        "limits": json.dumps(told) if (told := refusals.limits_doc(ending)) else None,
        "cool": refusals.cooling(ending),
    } | _answer(ending.answered)


def _headers(headers: tuple[tuple[str, str], ...]) -> str | None:
    """Write headers as JSON, without what people must not see."""
    if not headers:
        return None
    text = json.dumps(redaction.redact_headers(headers))
    if "\\u" not in text:  # plain ASCII, as nearly always
        return text
    storable = [(rules.storable(name), rules.storable(value)) for name, value in headers]
    return json.dumps(redaction.redact_headers(storable))


def _answer(answered: Answered | None) -> dict[str, Any]:
    return {
        "answered_by": _text(answered.model) if answered else None,
        "response_id": _text(answered.response_id) if answered else None,
        "finish": answered.finish if answered else None,
        "tool_calls": _texts(one.name for one in answered.tool_calls) if answered else None,
    }


def token_params(tokens: Tokens | None) -> dict[str, Any]:
    """Name the parameters of tokens by class."""
    names = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning")
    return {name: None if tokens is None else getattr(tokens, name) for name in names}


def shown(text: str) -> str:
    """Put an error in one line that people may see."""
    return rules.presentable(" ".join(text.split()))[:500]


def _text(text: str | None) -> str | None:
    return None if text is None else rules.storable(text)[:500]


def _texts(texts: Iterable[str]) -> list[str] | None:
    return [rules.storable(text)[:500] for text in texts] or None
