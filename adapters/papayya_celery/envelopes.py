"""A message as it can be sent again: everything that the broker and the worker were given of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from kombu.serialization import dumps, loads
from kombu.utils import json

from papayya_celery.carried import HEADER
from papayya_core.contract import Body
from papayya_core.store import rows

_OURS = frozenset(
    {"retry", "retry_policy", "declare", "timeout", "confirm_timeout", "serializer", "headers"}
    | {"exchange", "routing_key", "expiration", "content_type", "content_encoding"}
)


def serialize(body: Any, options: dict[str, Any]) -> tuple[str | bytes, dict[str, Any]]:
    """Serialize a body once, for the broker and for the envelope; raises as Celery would.

    Returns the data, and the options with which kombu sends it as it is.
    """
    content_type, encoding, data = dumps(body, options.get("serializer"))
    rest = {name: value for name, value in options.items() if name != "serializer"}
    return data, rest | {"content_type": content_type, "content_encoding": encoding}


def serialize_alike(
    body: tuple[Any, ...], options: dict[str, Any], serializers: Iterable[str]
) -> tuple[str | bytes, dict[str, Any]] | None:
    """Serialize a body by the first of these that gives it back as it is, or else that takes it.

    A worker isn't told which its message came in. None when none of them takes it.
    """
    found = None
    for name in serializers:
        try:
            data, rest = serialize(body, options | {"serializer": name})
            again = loads(data, rest["content_type"], rest["content_encoding"], force=True)
        except Exception:  # noqa: BLE001, S112 - serializers raise what they like
            continue
        found = found or (data, rest)
        if list(again) == list(body):
            return data, rest
    return found


def pack(app: str | None, data: str | bytes, options: Mapping[str, Any]) -> Body:
    """Make the envelope of serialized data and the options it is published with."""
    headers = {name: value for name, value in options["headers"].items() if name != HEADER}
    exchange = options.get("exchange")
    envelope = {
        "v": 1,
        "app": app,
        "data": data,
        "headers": headers,
        "content_type": options["content_type"],
        "content_encoding": options["content_encoding"],
        "exchange": getattr(exchange, "name", exchange) or "",
        "routing_key": options.get("routing_key"),
        "queues": [queue.name for queue in options.get("declare") or () if hasattr(queue, "name")],
        "properties": {
            name: value
            for name, value in options.items()
            if name not in _OURS and (value is not None or name == "priority")  # else it is 0
        },
    }
    return rows.pack(json.dumps(envelope))


def unpack(codec: int, body: bytes) -> dict[str, Any]:
    """Read an envelope again."""
    envelope: dict[str, Any] = json.loads(rows.unpack(codec, body))
    return envelope


def prolong(headers: dict[str, Any], seconds: float) -> None:
    """Move the expiry of a message by the time for which it was parked."""
    expires = headers.get("expires")
    if expires and seconds > 0:
        moment = datetime.fromisoformat(expires) if isinstance(expires, str) else expires
        headers["expires"] = (moment + timedelta(seconds=seconds)).isoformat()


def delay(headers: dict[str, Any], seconds: float) -> None:
    """Let Celery itself hold a message back."""
    if seconds > 0:
        headers["eta"] = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def delay_of(headers: Mapping[str, Any]) -> float:
    """Tell for how many seconds from now Celery holds a message back."""
    eta = headers.get("eta")
    if not eta:
        return 0.0
    moment = datetime.fromisoformat(eta) if isinstance(eta, str) else eta
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, float((moment - datetime.now(UTC)).total_seconds()))


def of_request(request: Any, queue: str | None) -> tuple[Any, dict[str, Any]]:
    """Rebuild a message from what a worker was given of it: its body, and its options.

    For messages whose publisher knew nothing of us. Fields of the request that are not headers of
    the protocol stay where Celery put them.
    """
    facts = dict(request.__dict__)
    info = facts.get("delivery_info") or {}
    embed = {name: facts.get(name) for name in ("callbacks", "errbacks", "chain", "chord")}
    headers = {name: value for name, value in facts.items() if _is_header(name)}
    options = {
        "headers": headers,
        "exchange": info.get("exchange") or "",
        "routing_key": info.get("routing_key") or queue,
        "correlation_id": facts.get("correlation_id"),
        "reply_to": facts.get("reply_to"),
        "priority": info.get("priority"),
        "compression": facts.get("compression"),  # kombu writes that header for what it compresses
    }
    return (facts.get("args") or (), facts.get("kwargs") or {}, embed), options


_BODY = frozenset(
    {"properties", "reply_to", "correlation_id", "hostname", "delivery_info", "args", "kwargs"}
    | {"is_eager", "callbacks", "errbacks", "chain", "chord", "called_directly", "time_limit"}
    | {"soft_time_limit", "headers", "compression", HEADER}
)


def _is_header(name: str) -> bool:
    return name not in _BODY and not name.startswith("_")
