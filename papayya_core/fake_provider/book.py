"""The ledger in memory: its entries, and the counts and totals that follow from them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

_TAIL = 6
_SUMMED = (
    "prompt_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_nusd",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request that was received; `ledger` describes the fields."""

    id: int = 0
    time: str
    key: str
    path: str
    model: str
    body_sha256: str
    attempt: int
    ordinal: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nusd: int = 0
    price_known: bool = True
    status: int | None
    fault: str | None = None
    rule: str | None = None
    refused: str | None = None
    response_id: str | None = None
    stream: bool = False
    item_key: str | None = None
    idempotency_key: str | None = None
    user: str | None = None
    metadata: Any = None
    delivered: bool | None = None

    def row(self) -> dict[str, Any]:
        """Give the entry as a JSON object."""
        return {name: getattr(self, name) for name in _NAMES}


_NAMES = tuple(f.name for f in fields(Entry))


def key_label(api_key: str) -> str:
    """Name an API key without giving it away: its last six characters, and a hash."""
    if not api_key:
        return "none"
    digest = sha256(api_key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{api_key[-_TAIL:]}:{digest[:8]}"


def _rows(lines: Iterable[bytes]) -> Iterator[dict[str, Any] | None]:
    """Read lines; None stands for one that is torn."""
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if line.strip():
            yield row if isinstance(row, dict) else None


def _entry(row: dict[str, Any]) -> Entry | None:
    """Read a request's line; None if it is not one."""
    try:
        return Entry(**{name: row[name] for name in _NAMES if name in row})
    except TypeError:
        return None


def read(path: Path) -> list[Entry]:
    """Read a ledger's file, of a running stand-in or not: requests with their deliveries."""
    book = Book()
    with path.open("rb") as lines:
        book.load(lines)
    return book.after(0)


class Book:
    """The ledger in memory, and the counts that follow from it."""

    def __init__(self) -> None:
        self.torn_lines = 0
        self.last_id = 0
        self.attempts: Counter[str] = Counter()
        self.ordinals: Counter[str] = Counter()
        self.fired: Counter[tuple[str, str]] = Counter()
        self._entries: dict[int, Entry] = {}

    def load(self, lines: Iterable[bytes]) -> None:
        """Take in the lines of a file."""
        for row in _rows(lines):
            entry = _entry(row) if row and "id" in row else None
            if entry:
                self.add(entry)
            elif row and "delivery_of" in row:
                self.deliver(row["delivery_of"], delivered=row.get("delivered") is True)
            else:
                self.torn_lines += 1

    def add(self, entry: Entry) -> None:
        """Take in a request."""
        self._entries[entry.id] = entry
        self.last_id = max(self.last_id, entry.id)
        self.attempts[entry.body_sha256] += 1
        self.ordinals[entry.body_sha256] += entry.ordinal > 0
        if entry.rule:
            self.fired[entry.rule, entry.body_sha256] += 1

    def deliver(self, number: int, *, delivered: bool) -> None:
        """Note whether a request's answer was delivered."""
        if number in self._entries:
            self._entries[number] = replace(self._entries[number], delivered=delivered)

    def after(self, number: int) -> list[Entry]:
        """List the requests after a number, in order."""
        numbers = range(max(0, number) + 1, self.last_id + 1)
        return [self._entries[n] for n in numbers if n in self._entries]


def totals(entries: Iterable[Entry]) -> dict[str, Any]:
    """Sum requests, tokens and cost: in all, by key and by model; count requests by status."""
    whole, by_key, by_model = (
        _zero(),
        defaultdict[str, dict[str, int]](_zero),
        defaultdict[str, dict[str, int]](_zero),
    )
    by_status = Counter[str]()
    for entry in entries:
        by_status[str(entry.status or "none")] += 1
        for sums in (whole, by_key[entry.key], by_model[entry.model]):
            sums["requests"] += 1
            sums["billed"] += entry.ordinal > 0
            sums["refused"] += entry.refused is not None
            for name in _SUMMED:
                sums[name] += getattr(entry, name)
    return {**whole, "by_status": by_status, "by_key": by_key, "by_model": by_model}


def _zero() -> dict[str, int]:
    """Start a sum."""
    return dict.fromkeys(("requests", "billed", "refused", *_SUMMED), 0)
