"""The provider's ledger held against the call rows, one by one and in sum."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import class_row

from papayya_core.fake_provider.book import Entry
from papayya_core.fake_provider.prices import listed
from papayya_core.store import pricelists, prices, rows

LABEL = re.compile(rb"m\d+/[\w-]+")
SENT = ("answered", "broken", "failed")
CALLS = """
SELECT k.id, i.key AS item, k.state::text, k.request_id, k.response_id, k.status, k.streamed, k.model, k.price_source,
       k.tokens_input, k.tokens_cache_read, k.tokens_cache_write + k.tokens_cache_write_1h AS tokens_cache_write,
       k.tokens_output, k.tokens_reasoning, k.cost_nusd, k.held_nusd, k.scope, k.key, k.ordinal, k.dispatch_id,
       k.rejected, k.resampled, k.replay_of, k.reconciled_at IS NOT NULL AS reconciled, k.started_at, k.finished_at, p.codec, p.body
FROM papayya.call k JOIN papayya.item i ON i.id = k.item_id
JOIN papayya.payload p ON p.tenant_id = k.tenant_id AND p.hash = k.request_hash
ORDER BY k.id
"""
UNBOUND = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call row, with the bytes of its request."""

    id: int
    item: str
    state: str
    request_id: str | None
    response_id: str | None
    status: int | None
    streamed: bool
    model: str
    price_source: str | None
    tokens_input: int | None
    tokens_cache_read: int | None
    tokens_cache_write: int | None
    tokens_output: int | None
    tokens_reasoning: int | None
    cost_nusd: int | None
    held_nusd: int | None
    scope: bytes
    key: bytes
    ordinal: int
    dispatch_id: int
    rejected: bool
    resampled: bool
    replay_of: int | None
    reconciled: bool
    started_at: datetime
    finished_at: datetime
    codec: int
    body: bytes

    @property
    def label(self) -> str:
        """What was asked, as the ledger calls it too."""
        found = LABEL.search(rows.unpack_bytes(self.codec, self.body))
        assert found, f"call {self.id} has another request than was sent"
        return found[0].decode()

    @property
    def tokens(self) -> tuple[int | None, ...]:
        """Input, read from and written to a cache, output, reasoning."""
        prompt = self.tokens_input, self.tokens_cache_read, self.tokens_cache_write
        return (*prompt, self.tokens_output, self.tokens_reasoning)


@dataclass(frozen=True, slots=True)
class Reckoning:
    """The sums, in nano-dollars: ``spent`` <= ``ledger`` <= ``spent`` + ``uncertain``."""

    spent: int
    ledger: int
    uncertain: int
    states: dict[str, int]
    faults: dict[str, int]
    saved: int
    resampled: int
    overlapping: int


def set_prices(dsn: str) -> None:
    """Take over the provider's own list."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        prices.set_prices(connection, pricelists.read(listed()), source="the provider's list")


def read(dsn: str) -> list[Call]:
    """Read all calls."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.cursor(row_factory=class_row(Call)).execute(CALLS).fetchall()


def reckon(calls: Sequence[Call], entries: Sequence[Entry], unusable: Collection[str]) -> Reckoning:
    """Compare; raises AssertionError for a nano-dollar or token that is not explained.

    ``unusable``: the items that have found an answer no good.
    """
    by_id = {f"req_{entry.id}": entry for entry in entries}
    known = {call.request_id: call for call in calls if call.state in SENT}
    assert len(known) == sum(call.state in SENT for call in calls), "two calls are one exchange"
    for name, call in known.items():
        assert name in by_id, f"call {call.id} is {call.state}, and the ledger knows nothing of it"
        compare(call, by_id[name])
    rest = [entry for name, entry in by_id.items() if name not in known]
    cover(rest, [call for call in calls if call.state == "uncertain"])
    spent = sum(call.cost_nusd or 0 for call in calls)
    ledger = sum(entry.cost_nusd for entry in entries)
    uncertain = sum(call.held_nusd or 0 for call in calls)
    assert spent <= ledger <= spent + sum(map(_most, calls))
    paid = {call.id: call.cost_nusd or 0 for call in calls}
    return Reckoning(
        spent,
        ledger,
        uncertain,
        dict(Counter(call.state for call in calls)),
        dict(Counter(entry.fault for entry in entries if entry.fault)),
        saved=sum(paid[call.replay_of] for call in calls if call.replay_of),
        resampled=resampled(calls, unusable),
        overlapping=bought_once(calls),
    )


def audit(dsn: str, run: str) -> dict[str, Any]:
    """Insist on a clean audit of a run, where nothing is unpriced or pending; return it."""
    program = Path(sys.executable).with_name("papayya")
    env = os.environ | {"PAPAYYA_DATABASE_URL": dsn}
    ended = subprocess.run(
        [program, "audit", run, "--json"], check=False, capture_output=True, env=env
    )
    assert ended.returncode == 0, (ended.stdout + ended.stderr).decode()
    told: dict[str, Any] = json.loads(ended.stdout)
    assert told["conserved"], told
    assert told["explained"], told
    assert told["dropped"] == told["unpriced_calls"] == told["pending_calls"] == 0, told
    return told


def usd(nusd: int) -> str:
    """Write nano-dollars as exact dollars."""
    whole, part = divmod(nusd, 10**9)
    return f"{whole}.{part:09}"


def compare(call: Call, entry: Entry) -> None:
    """Hold one exchange against its entry."""
    who = f"call {call.id} ({call.state}) and entry {entry.id} ({entry.fault})"
    same = call.item, call.label, call.status, call.model, call.streamed
    told: tuple[Any, ...] = (entry.item_key, entry.idempotency_key, entry.status, entry.model)
    assert same == (*told, entry.stream), who
    assert call.cost_nusd is not None, f"{who}: unpriced"
    if call.state == "failed":
        assert entry.ordinal == entry.cost_nusd == call.cost_nusd == call.held_nusd == 0, who
        return
    assert call.response_id in (entry.response_id, None), who
    assert (call.price_source or "").startswith("papayya prices #"), f"{who}: {call.price_source}"
    if call.state == "answered":
        assert call.tokens == classes(entry), f"{who}: {call.tokens} for {classes(entry)}"
        assert (call.cost_nusd, call.held_nusd) == (entry.cost_nusd, 0), who
        assert call.response_id == entry.response_id, who
    else:
        most = call.cost_nusd + _most(call)
        assert call.cost_nusd <= entry.cost_nusd <= most, f"{who}: {call} for {entry}"


def classes(entry: Entry) -> tuple[int, ...]:
    """Name an entry's tokens as a call does."""
    plain = entry.prompt_tokens - entry.cached_tokens - entry.cache_write_tokens
    prompt = plain, entry.cached_tokens, entry.cache_write_tokens
    return (*prompt, entry.output_tokens, entry.reasoning_tokens)


def cover(entries: Iterable[Entry], calls: Iterable[Call]) -> None:
    """Find for each entry an uncertain call of the same request that holds enough for it."""
    waiting: dict[str, list[Entry]] = defaultdict(list)
    holding: dict[str, list[Call]] = defaultdict(list)
    for entry in entries:
        waiting[str(entry.idempotency_key)].append(entry)
    for call in calls:
        assert call.cost_nusd == 0 or call.reconciled, f"call {call.id} is uncertain, and priced"
        holding[call.label].append(call)
    for label, found in waiting.items():
        held = sorted((_most(one) + (one.cost_nusd or 0) for one in holding[label]), reverse=True)
        costs = sorted((entry.cost_nusd for entry in found), reverse=True)
        assert len(costs) <= len(held), f"{label}: {found} are in no call"
        for cost, most in zip(costs, held, strict=False):
            assert cost <= most, f"{label}: {cost} was paid, and {most} held"


def _most(call: Call) -> int:
    return UNBOUND if call.held_nusd is None else call.held_nusd


def bought_once(calls: Iterable[Call]) -> int:
    """Insist that no answer was bought that was there; count those bought twice at the same time.

    That happens when a delivery is lost, and what it had in flight comes to its end all the same.
    """
    bought: dict[tuple[Any, ...], list[Call]] = defaultdict(list)
    for call in calls:
        if call.state == "answered" and not call.rejected:
            bought[call.item, call.scope, call.key, call.ordinal].append(call)
    several = [found for found in bought.values() if len(found) > 1]
    for found in several:
        assert len({call.dispatch_id for call in found}) == len(found), f"bought again: {found}"
        latest = max(call.started_at for call in found)
        assert all(latest <= call.finished_at for call in found), f"bought though there: {found}"
    return len(several)


def resampled(calls: Sequence[Call], unusable: Collection[str]) -> int:
    """Insist that only answers of items that found one no good were asked anew; count those."""
    anew = [call for call in calls if call.resampled]
    strangers = {call.item for call in calls if call.rejected or call.resampled} - set(unusable)
    assert not strangers, f"asked anew without a cause: {strangers}"
    known = {(call.item, call.scope, call.key, call.ordinal) for call in calls if call.rejected}
    assert {(call.item, call.scope, call.key, call.ordinal) for call in anew} <= known
    return len(anew)
