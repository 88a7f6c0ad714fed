"""From a call to a submission: which item it is, for whom, and its input as it will be stored."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from papayya_core import codec, rules, vault
from papayya_core.checks import Identity
from papayya_core.contract import UNATTRIBUTED, Submission
from papayya_core.execution import Execution
from papayya_core.results import Stored, store_value
from papayya_core.store import rows

Pick = Callable[[Any], object] | str | None


@dataclass(slots=True)
class Job:
    """An item that this process is to run, with its arguments alive (or to be loaded)."""

    item_id: int
    tenant: str
    key: str
    ordinal: int = 1
    args: tuple[Any, ...] | None = None
    kwargs: dict[str, Any] | None = None
    copies: int = 1
    deliveries: int = 0
    unstored: str | None = None
    execution: Execution | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A submission with the live arguments it was made of."""

    submission: Submission
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    unstored: str | None = None


class Occurrences:
    """Counts how often each item was named, for runs in which that makes it another item."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str, str]] = Counter()
        self._mutex = threading.Lock()

    def next(self, agent: str, tenant: str, key: str) -> int:
        """Return which occurrence of this key this is, from 1."""
        with self._mutex:
            self._seen[agent, tenant, key] += 1
            return self._seen[agent, tenant, key]


def prepare(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    identity: Identity,
    encoders: codec.Encoders | None,
    limit: int,
    parent_id: int | None = None,
) -> Prepared:
    """Encode a call and name its item. An input that cannot be stored is still submitted."""
    text, stored = _encode(args, kwargs, encoders, limit)
    digest = codec.digest(text) if text else codec.arguments_digest(args, kwargs)
    key = identity.item if identity.item is not None else _content_key(args, kwargs, text, digest)
    tenant = identity.tenant if identity.tenant is not None else UNATTRIBUTED
    rules.check_name(key, "an item's key")
    rules.check_name(tenant, "a tenant")
    body = stored.body
    submission = Submission(tenant, key, digest, body, None, parent_id)
    return Prepared(submission, args, kwargs, stored.why)


def refuse(
    args: tuple[Any, ...], reason: str, encoders: codec.Encoders | None, limit: int
) -> Prepared:
    """Submit an input that cannot be named: it is counted, and ends as failed."""
    one = prepare(args, {}, Identity(), encoders, limit)
    submission = Submission(
        one.submission.tenant,
        one.submission.key,
        one.submission.digest,
        one.submission.body,
        refusal=rules.storable(reason),
    )
    return Prepared(submission, args, {}, one.unstored)


def _encode(
    args: tuple[Any, ...], kwargs: dict[str, Any], encoders: codec.Encoders | None, limit: int
) -> tuple[str | None, Stored]:
    stored = store_value({"args": list(args), "kwargs": kwargs}, encoders, -1, limit)
    if stored.body is None:
        return None, stored
    return rows.unpack(stored.body.codec, stored.body.data), stored


def _content_key(
    args: tuple[Any, ...], kwargs: dict[str, Any], text: str | None, digest: bytes
) -> str:
    if text is None:
        return "in-" + digest.hex()[:16]
    if len(args) == 1 and not kwargs:
        text = text[len('{"args":[') : -len('],"kwargs":{}}')]
    return rules.content_key(text, digest, plain=not vault.is_on())


def pick(choice: Pick, item: object, what: str) -> str | None:
    """Apply ``tenant=`` or ``item=`` to an input: a function, or a dotted path into it.

    Raises InvalidKey for what cannot be a name, LookupError for a path that leads nowhere.
    """
    if choice is None:
        return None
    value = choice(item) if callable(choice) else _follow(item, choice)
    if value is None:
        msg = f"{what}= gave None for this input"
        raise LookupError(msg)
    text = value if isinstance(value, str) else str(value)
    return rules.check_name(text, what)


def _follow(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[part] if isinstance(value, Mapping) else getattr(value, part)
    return value
