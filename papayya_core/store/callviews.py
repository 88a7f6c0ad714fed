"""What people see of calls: the rows of callviews.sql as small frozen dataclasses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from papayya_core.call import Tokens
from papayya_core.store.reads import Connection, rows, values

_FILE = "callviews.sql"


class Doubtful(Protocol):
    """A sum of money with what it does not know: amounts in nano-dollars.

    ``uncertain_nusd``: what the uncertain calls may have cost at most, ``unbounded_calls``: those
    of them that are not in it, because nothing bounds their price.
    """

    @property
    def uncertain_calls(self) -> int: ...
    @property
    def uncertain_nusd(self) -> int: ...
    @property
    def unbounded_calls(self) -> int: ...
    @property
    def unpriced_calls(self) -> int: ...


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call as lists show it. Hashes of payloads are None where nothing was kept.

    ``n``, ``step``: number and label of its step, 0 outside any; a step without an end has no label
    yet. ``tokens_*`` are None when nobody knows. ``uncertain``: it may have cost up to ``held_nusd``
    more; None: ``unbounded`` says why there is no such bound.
    """

    id: int
    item_id: int
    run: str
    tenant: str
    agent: str
    item: str
    n: int
    step: str | None
    scope: bytes
    ordinal: int
    attempt: int
    kind: str
    state: str
    rejected: bool
    resampled: bool
    replay_of: int | None
    provider: str | None
    schema: str | None
    url: str | None
    model: str
    answered_by: str | None
    response_id: str | None
    request_id: str | None
    status: int | None
    retry_after: float | None
    sdk_retries: int
    finish: str | None
    streamed: bool
    samples: int
    tools: list[str] | None
    tool_calls: list[str] | None
    tokens_input: int | None
    tokens_cache_read: int | None
    tokens_cache_write: int | None
    tokens_cache_write_1h: int | None
    tokens_output: int | None
    tokens_reasoning: int | None
    estimated: bool
    cost_nusd: int | None
    price_source: str | None
    unpriced: bool
    uncertain: bool
    held_nusd: int | None
    unbounded: str | None
    request_hash: bytes | None
    response_hash: bytes | None
    error: str | None
    started_at: datetime
    seconds: float | None
    first_seconds: float | None
    finished_at: datetime | None
    reconciled_at: datetime | None

    @property
    def tokens(self) -> Tokens | None:
        """Its tokens by class; None when nobody knows."""
        return None if self.tokens_input is None else _tokens(self)


@dataclass(frozen=True, slots=True)
class CallSums:
    """What some calls come to. ``saved_nusd``: what the replayed ones cost when they were paid.

    ``calls`` are those that were sent and have ended, ``pending_calls`` those that have not.
    """

    calls: int
    pending_calls: int
    replayed_calls: int
    tokens_input: int
    tokens_cache_read: int
    tokens_cache_write: int
    tokens_cache_write_1h: int
    tokens_output: int
    tokens_reasoning: int
    cost_nusd: int
    uncertain_calls: int
    uncertain_nusd: int
    unbounded_calls: int
    unpriced_calls: int
    saved_nusd: int

    @property
    def tokens(self) -> Tokens:
        """Their tokens by class."""
        return _tokens(self)


def _tokens(one: CallRow | CallSums) -> Tokens:
    return Tokens(
        one.tokens_input or 0,
        one.tokens_cache_read or 0,
        one.tokens_cache_write or 0,
        one.tokens_cache_write_1h or 0,
        one.tokens_output or 0,
        one.tokens_reasoning or 0,
    )


@dataclass(frozen=True, slots=True)
class CallPayloads:
    """What one call sent and got, as it is stored; a body is None when it is large, or not kept."""

    id: int
    request_codec: int | None
    request_body: bytes | None
    request_size: int | None
    response_codec: int | None
    response_body: bytes | None
    response_size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """Which calls; None does not narrow. ``after``: older than the call of this id."""

    run: int | None = None
    tenant: int | None = None
    items: list[int] | None = None
    call: int | None = None
    model: str | None = None
    state: str | None = None
    uncertain: bool = False
    unpriced: bool = False
    after: int | None = None
    oldest: bool = False


def list_calls(connection: Connection, wanted: CallFilter, limit: int) -> list[CallRow]:
    """Read calls, the newest first unless the oldest are wanted."""
    return rows(connection, "calls", CallRow, _FILE, **_params(wanted), limit=limit)


def sum_calls(connection: Connection, wanted: CallFilter) -> CallSums:
    """Sum up all calls that a filter lets through, whatever the page."""
    return rows(connection, "call_sums", CallSums, _FILE, **_params(wanted))[0]


def list_payloads(
    connection: Connection, calls: Sequence[int], size: int
) -> dict[int, CallPayloads]:
    """Read what calls sent and got, by their ids, up to ``size`` bytes each way."""
    found = rows(connection, "call_payloads", CallPayloads, _FILE, calls=list(calls), size=size)
    return {one.id: one for one in found}


def reconcile(connection: Connection, call: int, nusd: int) -> str | None:
    """Say what a call cost; return its state, None when there is nothing to say about it."""
    found = values(connection, "reconcile", _FILE, call=call, nusd=nusd)
    return str(found[0]) if found else None


def _params(wanted: CallFilter) -> dict[str, object]:
    return {name: getattr(wanted, name) for name in CallFilter.__slots__}
