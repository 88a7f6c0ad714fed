"""The stand-in's ledger held against the audit: who paid for what, and which kill explains it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import psycopg

from papayya_core.audit import Audit, Lost, audit
from papayya_core.fake_provider.book import Entry

RECORDED = """
SELECT s.result->>'id', i.shown_key, s.cost_nusd
FROM papayya.step s JOIN papayya.item_now i ON i.id = s.item_id
WHERE i.run = %s AND s.state = 'completed'
"""


@dataclass(frozen=True, slots=True)
class Books:
    """Both sides: the audit, and the payments that no finished step has, each with its cause."""

    audit: Audit
    extras: tuple[Entry, ...]

    def describe(self) -> str:
        """List the extra payments, a line each, with the deliveries that were lost."""
        return "\n".join(
            f"{entry.item_key}: {entry.cost_nusd} nano-dollars for {entry.response_id}, lost by "
            + ", ".join(one.locked_by for one in self.audit.lost if one.key == entry.item_key)
            for entry in self.extras
        )


def compare(dsn: str, run: str, paid: Sequence[Entry], lost_by: Collection[int]) -> Books:
    """Hold a run's audit against the ledger of a stand-in that served nothing else.

    Every finished step has exactly one payment, of the same item and cost. Every other payment
    belongs to a delivery of its item that was lost by one of the processes ``lost_by``.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        report = audit(connection, run)
        recorded = connection.execute(RECORDED, [run]).fetchall()
    payments = {entry.response_id: entry for entry in paid}
    assert len(payments) == len(paid)
    for response_id, key, cost_nusd in recorded:
        mine = payments[response_id]
        assert (mine.item_key, mine.cost_nusd) == (key, cost_nusd)
    finished = {response_id for response_id, _, _ in recorded}
    assert len(finished) == len(recorded), "two steps have one answer"
    extras = tuple(entry for entry in paid if entry.response_id not in finished)
    books = Books(report, extras)
    assert report.explained, report.unexplained
    _explain(books, lost_by)
    total = sum(entry.cost_nusd for entry in paid)
    assert total == report.totals.cost_nusd + sum(entry.cost_nusd for entry in extras)
    return books


def _explain(books: Books, lost_by: Collection[int]) -> None:
    lost = Counter(one.key for one in books.audit.lost if owner_pid(one) in lost_by)
    surplus = Counter(entry.item_key for entry in books.extras)
    for key, number in surplus.items():
        assert number <= lost[str(key)], f"{key} was paid {number} times too often"
    strangers = [one for one in books.audit.lost if owner_pid(one) not in lost_by]
    assert not strangers, f"lost without a cause: {strangers}"


def owner_pid(lost: Lost) -> int:
    """Return the process that lost a delivery."""
    return int(lost.locked_by.split("/")[3])
