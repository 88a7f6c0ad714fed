"""What one item's page and the results of a run show: payloads, steps, deliveries, findings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from papayya_core import codec
from papayya_core.store.reads import Connection, rows, snapshot
from papayya_core.store.rows import unpack
from papayya_core.store.sql import statements
from papayya_core.vault import Locked

PREVIEW_BYTES = 64 * 1024
_FIRST, _MOST, _HEAVY = 16, 500, 4_000_000


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """What an item's page shows beyond its row."""

    version: str | None
    entrypoint: str | None
    model: str | None
    due_at: datetime | None
    has_input: bool
    has_output: bool
    parent_key: str | None
    replay_of_key: str | None
    replay_of_run: str | None
    input_codec: int | None
    input_body: bytes | None
    output_codec: int | None
    output_body: bytes | None

    @property
    def input(self) -> Any:
        """The input in plain terms; None when it was not stored."""
        return shown(self.input_codec, self.input_body)

    @property
    def output(self) -> Any:
        """The output in plain terms; None when there is none."""
        return shown(self.output_codec, self.output_body)


@dataclass(frozen=True, slots=True)
class StepView:
    """One checkpoint. ``cost_nusd``: what it reported (``reported_nusd``) and what its calls cost.

    ``scope``: what its calls have in common; None for what was reported outside any step.
    """

    n: int
    label: str
    kind: str
    state: str
    attempts: int
    cost_nusd: int
    reported_nusd: int
    tokens: int
    calls: int
    uncertain_calls: int
    uncertain_nusd: int
    unbounded_calls: int
    unpriced_calls: int
    scope: bytes | None
    started_at: datetime
    finished_at: datetime | None
    seconds: float | None
    parent_n: int | None
    dispatch_id: int
    error: Any
    result_text: str | None
    result_codec: int | None
    result_body: bytes | None
    result_bytes: int | None

    @property
    def result(self) -> Any:
        """The result in plain terms; one that is large is told by its size."""
        if self.result_text is not None:
            return codec.plain(self.result_text)
        if self.result_body is None and self.result_bytes is not None:
            return f"({self.result_bytes:,} bytes)"
        return shown(self.result_codec, self.result_body)


@dataclass(frozen=True, slots=True)
class DispatchView:
    """One delivery. ``live``: it has not ended, and its lease has not run out."""

    fence: int
    lane: str
    locked_by: str
    started_at: datetime
    locked_until: datetime
    deadline: datetime | None
    ended_at: datetime | None
    ending: str | None
    live: bool


@dataclass(frozen=True, slots=True)
class FindingView:
    """One finding; a retired one is history."""

    item_id: int
    check: str
    severity: str
    reason: str
    evidence: Any
    n: int | None
    fingerprint: bytes
    at: datetime
    retired_at: datetime | None


@dataclass(frozen=True, slots=True)
class ResultRow:
    """What came of one item, with its output as it is stored."""

    id: int
    key: str
    tenant: str
    agent: str
    state: str
    outcome: str | None
    reason: str | None
    cost_nusd: int
    tokens: int
    uncertain_calls: int
    uncertain_nusd: int
    unbounded_calls: int
    unpriced_calls: int
    has_output: bool
    output_codec: int | None
    output_body: bytes | None

    @property
    def output(self) -> Any:
        """The output in plain terms; None when there is none. Raises Locked without its key."""
        return readable(self.output_codec, self.output_body)


@dataclass(frozen=True, slots=True)
class Result:
    """A result and what was found of it."""

    row: ResultRow
    findings: tuple[FindingView, ...]


def readable(codec_no: int | None, body: bytes | None) -> Any:
    """Show a payload in plain terms; None when there is none. Raises Locked without its key."""
    return None if codec_no is None or body is None else codec.plain(unpack(codec_no, body))


def shown(codec_no: int | None, body: bytes | None) -> Any:
    """Show a payload in plain terms, or what keeps it from being read."""
    try:
        return readable(codec_no, body)
    except Locked as error:
        return f"({error})"


def item_facts(connection: Connection, item: int) -> ItemFacts:
    """Read what an item's page shows beyond its row."""
    return rows(connection, "item_facts", ItemFacts, item=item)[0]


def list_steps(connection: Connection, item: int, limit: int) -> list[StepView]:
    """Read the checkpoints of an item in order."""
    return rows(connection, "steps", StepView, item=item, limit=limit, size=PREVIEW_BYTES)


def list_dispatches(connection: Connection, item: int) -> list[DispatchView]:
    """Read the deliveries of an item."""
    return rows(connection, "dispatches", DispatchView, item=item)


def list_findings(connection: Connection, items: Sequence[int]) -> list[FindingView]:
    """Read what was found of items, history included."""
    return rows(connection, "findings", FindingView, items=list(items))


def stream_results(
    connection: Connection, run: int, tenant: int | None = None, state: str | None = None
) -> Generator[Result]:
    """Yield what came of each item of a run, in the order they were recorded.

    All of one moment, through a cursor; outputs are fetched in batches that shrink when they are
    large, so that memory does not grow with the run.
    """
    size, params = _FIRST, {"run": run, "tenant": tenant, "state": state}
    with snapshot(connection), connection.cursor("papayya_results") as cursor:
        cursor.execute(statements("reads.sql")["result_ids"], params)
        while ids := [row[0] for row in cursor.fetchmany(size)]:
            batch = _results(connection, ids)
            yield from batch
            weight = sum(len(one.row.output_body or b"") for one in batch)
            size = max(1, size // 4) if weight > _HEAVY else min(_MOST, size * 2)


def _results(connection: Connection, ids: list[int]) -> list[Result]:
    findings: dict[int, list[FindingView]] = defaultdict(list)
    for one in list_findings(connection, ids):
        if one.retired_at is None:
            findings[one.item_id].append(one)
    found = rows(connection, "results", ResultRow, items=ids)
    return [Result(row, tuple(findings[row.id])) for row in found]
