"""The tickets: generated ones, or those of a CSV or JSON Lines file."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from wording import CATEGORIES, compose

ORGS = ("acme", "globex")
MOST_CATEGORIES = 250
_LONGEST_NAME = 200


class TicketsError(Exception):
    """A file of tickets cannot be used; the message names file and line."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """One support ticket: its id, whose customer wrote it, and what they wrote."""

    id: str
    org: str
    text: str


@dataclass(frozen=True, slots=True)
class Tickets:
    """Tickets, and the categories there are for them."""

    all: tuple[Ticket, ...]
    categories: tuple[str, ...] = CATEGORIES

    @property
    def orgs(self) -> int:
        """How many organisations they are of."""
        return len({ticket.org for ticket in self.all})


def generated(number: int, seed: int) -> Tickets:
    """Make tickets; the same for the same seed, and the first ones the same for any number."""
    made = []
    for n in range(1, number + 1):
        key = f"item_{n:04}"
        dice = random.Random(f"{seed}/{key}")  # noqa: S311 - nothing secret
        made.append(Ticket(key, _org(key), compose(dice)))
    return Tickets(tuple(made))


def read(path: Path, limit: int | None) -> Tickets:
    """Read a file of tickets, at most ``limit`` of them.

    CSV: a header line, and the text in a column ``text`` or else in the first one. JSON Lines:
    objects with ``text``. Both may name ``id`` and ``org``; the values of a CSV's ``category``
    become the categories to choose from. Raises TicketsError.
    """
    rows = _json_lines(path) if path.suffix.lower() in {".jsonl", ".ndjson"} else _csv(path)
    made: list[Ticket] = []
    lines: dict[tuple[str, str], int] = {}
    categories: set[str] = set()
    try:
        for line, row in rows:
            if limit is not None and len(made) >= limit:
                break
            ticket = _ticket(row, len(made) + 1, f"{path}, line {line}")
            first = lines.setdefault((ticket.org, ticket.id), line)
            if first != line:
                raise TicketsError(
                    f"{path}, line {line}: {ticket.org} has a ticket {ticket.id!r} on line {first}"
                )
            made.append(ticket)
            categories.update([row["category"]] if row.get("category") else [])
    except (OSError, UnicodeDecodeError) as error:
        raise TicketsError(f"{path} cannot be read: {error}") from error
    if not made:
        raise TicketsError(f"{path} has no tickets in it")
    if len(categories) > MOST_CATEGORIES:
        raise TicketsError(
            f"{path} has {len(categories):,} categories; a model can choose from"
            f" {MOST_CATEGORIES} here. Rename the column if it means something else."
        )
    return Tickets(tuple(made), tuple(sorted(categories)) or CATEGORIES)


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            names = next(reader, [])
            texts = names.index("text") if "text" in names else 0
            for values in reader:
                if not values:
                    continue
                if len(values) != len(names):
                    raise TicketsError(
                        f"{path}, line {reader.line_num}: {len(values)} values, but the header"
                        f" names {len(names)} columns"
                    )
                row = dict(zip(names, values, strict=True))
                yield reader.line_num, {**row, "text": values[texts]}
        except csv.Error as error:
            raise TicketsError(f"{path}, line {reader.line_num}: {error}") from error


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise TicketsError(f"{path}, line {number} is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise TicketsError(f'{path}, line {number} is no object like {{"text": "…"}}')
            yield number, {name: row.get(name) for name in ("text", "id", "org")}


def _ticket(row: dict[str, Any], number: int, where: str) -> Ticket:
    text = row["text"]
    if not isinstance(text, str) or not text.strip():
        raise TicketsError(f"{where}: there is no text")
    key = _name(row.get("id"), "id", where) or f"item_{number:04}"
    return Ticket(key, _name(row.get("org"), "org", where) or _org(key), text)


def _name(value: object, what: str, where: str) -> str | None:
    """Read a name that an item or tenant can have."""
    if value is None or value == "":
        return None
    name = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(name, str) or len(name) > _LONGEST_NAME or not name.isprintable():
        raise TicketsError(
            f"{where}: {what} must be printable text of at most {_LONGEST_NAME} characters,"
            f" not {value!r:.80}"
        )
    return name


def _org(key: str) -> str:
    """Give a ticket to one of two organisations, always the same one."""
    return ORGS[sha256(key.encode()).digest()[0] % len(ORGS)]
