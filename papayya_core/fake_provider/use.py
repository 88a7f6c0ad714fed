"""What the ledger's entries used per minute, and whether that kept to a limit."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from papayya_core.fake_provider.book import Entry
from papayya_core.fake_provider.bucket import Bucket
from papayya_core.fake_provider.limits import Cost, Limit, used
from papayya_core.fake_provider.prices import Usage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TO_MINUTE = len("2026-01-01T00:00")


def moment(us: int) -> datetime:
    """Give the time that is some microseconds after 1970."""
    return _EPOCH + us * _MICROSECOND


def cost(entry: Entry) -> Cost:
    """Say what an entry counts by units: nothing if it was not processed."""
    if not entry.ordinal:
        return {}
    return used(Usage(input=entry.prompt_tokens, output=entry.output_tokens))


def by_minute(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Sum up what came in each minute (UTC), by key and model."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for entry in entries:
        key = (entry.time[:_TO_MINUTE], entry.key, entry.model)
        new = {**dict(zip(("minute", "key", "model"), key, strict=True)), "refused": 0}
        row = rows.setdefault(key, new | dict.fromkeys(("requests", "tokens"), 0))
        row["refused"] += entry.refused is not None
        for unit in ("requests", "tokens"):
            row[unit] += cost(entry).get(unit, 0)
    return list(rows.values())


def beyond(entries: Iterable[Entry], limit: Limit) -> list[Entry]:
    """
    List the processed entries for which a limit had no room; none if it was kept to.

    It need not be a limit of the stand-in's own. Tokens count as they were billed; of the
    limit's key the last six characters are compared, as the ledger has no more of it.
    """
    buckets: dict[tuple[str, str], Bucket] = {}
    return [
        entry for entry in entries if _covers(limit, entry) and not _fits(buckets, limit, entry)
    ]


def _covers(limit: Limit, entry: Entry) -> bool:
    """Say whether an entry was processed, and a limit is for it."""
    tail = entry.key.rpartition(":")[0]
    return entry.ordinal > 0 and tail.endswith((limit.key or "")[-6:]) and limit.suits(entry.model)


def _fits(buckets: dict[tuple[str, str], Bucket], limit: Limit, entry: Entry) -> bool:
    """Take an entry out of its key's buckets, if all have room for it."""
    now = (datetime.fromisoformat(entry.time) - _EPOCH) // _MICROSECOND
    counted = cost(entry)
    full = limit.per_minute().items()
    mine = {unit: buckets.setdefault((entry.key, unit), Bucket(n, now)) for unit, n in full}
    if any(bucket.wait(counted[unit], now) != 0 for unit, bucket in mine.items()):
        return False
    for unit, bucket in mine.items():
        bucket.take(counted[unit], now)
    return True
