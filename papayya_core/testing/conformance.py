"""What every carrier must make of one workload: the same items, steps, findings, costs, outcomes.

An adapter joins by subclassing CarrierConformance in its tests and writing ``carry``. The workload
may run in other processes: it is a plain function, and what it remembers lies in a directory.
"""

# ruff: noqa: S101, PLR2004 - these are tests

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import psycopg
import pytest

from papayya_core.audit import audit

RUN = "conformance"
AGENT = "conform"
SETTINGS: Mapping[str, Any] = {"retry_inline_seconds": 0, "heartbeat": "off"}
_CENT = 10_000_000  # nano-dollars


class Work(NamedTuple):
    """One thing to submit: the item's key and tenant, and the input of ``body``."""

    key: str
    tenant: str
    value: dict[str, str]


class Host(Protocol):
    """What the workload needs of the adapter inside an item."""

    def task(self, label: str, fn: Callable[..., Any], *args: Any) -> Any:
        """Run a step; for an async function return something to await."""

    def cost(self, *, usd: str, tokens: int) -> None:
        """Report the cost of the current step."""

    def lose_worker(self) -> None:
        """Lose the worker of this item: die, or let its lease be swept. It may return."""


class Throttle(Exception):
    """A provider's 429 with a short Retry-After, shaped as the clients raise it."""

    status_code = 429

    class response:  # noqa: N801
        """The provider's answer."""

        headers: ClassVar = {"retry-after-ms": "50"}


def workload(marks: Path) -> list[Work]:
    """List what is submitted; ``marks`` is a directory for what the items remember."""
    keys = ["plain", "other", "fails", "throttled", "killed", "twice", "twice"]
    return [
        Work(key, "acme" if n % 2 else "globex", {"key": key, "marks": str(marks)})
        for n, key in enumerate(keys[:-1])
    ] + [Work("twice", "acme", {"key": "twice", "marks": str(marks)})]


def body(value: dict[str, str], host: Host) -> str:
    """Do one item in two steps."""
    found = host.task("search", lambda key: _pay(value, host, "search", key), value["key"])
    _trouble_between(value, host)
    return str(host.task("summarize", lambda text: _summarize(value, host, text), found))


async def abody(value: dict[str, str], host: Host) -> str:
    """Do the same in coroutines."""

    async def search(key: str) -> str:
        return _pay(value, host, "search", key)

    async def summarize(text: str) -> str:
        return _summarize(value, host, text)

    step: Awaitable[str] = host.task("search", search, value["key"])
    found = await step
    _trouble_between(value, host)
    step = host.task("summarize", summarize, found)
    return await step


def _trouble_between(value: dict[str, str], host: Host) -> None:
    if value["key"] == "killed" and _first_time(value):
        host.lose_worker()


def _summarize(value: dict[str, str], host: Host, text: str) -> str:
    if value["key"] == "fails":
        raise ValueError("no summary")
    if value["key"] == "throttled" and _first_time(value):
        raise Throttle("slow down")
    return _pay(value, host, "summarize", text)


def _pay(value: dict[str, str], host: Host, label: str, text: str) -> str:
    with (Path(value["marks"]) / "paid").open("a") as paid:
        paid.write(f"{value['key']}/{label}\n")
    host.cost(usd="0.01", tokens=7)
    return text + "!"


def _first_time(value: dict[str, str]) -> bool:
    """Tell, once over all processes, that this item has its trouble now."""
    mark = Path(value["marks"]) / f"{value['key']}.trouble"
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


ITEMS = """
SELECT key, ordinal, tenant, state::text, outcome::text, cost_nusd, tokens, steps, deliveries
FROM papayya.item_now WHERE agent = 'conform' ORDER BY key, ordinal
"""
STEPS = """
SELECT i.key, s.n, s.label, s.kind, s.state::text, s.attempts, s.cost_nusd, s.tokens, s.result::text,
       s.ordinal, encode(s.args_hash, 'hex') <> ''
FROM papayya.step s JOIN papayya.item i ON i.id = s.item_id ORDER BY i.key, s.n
"""
FINDINGS = """
SELECT i.key, f.check_name, f.severity::text, f.n
FROM papayya.finding f JOIN papayya.item i ON i.id = f.item_id ORDER BY i.key, f.id
"""
ENDINGS = """
SELECT i.key, array_agg(d.ending::text ORDER BY d.id)
FROM papayya.dispatch d JOIN papayya.item i ON i.id = d.item_id GROUP BY 1 ORDER BY 1
"""


def _items() -> list[tuple[Any, ...]]:
    done = ("completed", "ok", 2 * _CENT, 14, 2)
    return [
        ("fails", 1, "globex", "failed", "failed", _CENT, 7, 2, 1),
        ("killed", 1, "globex", *done, 2),
        ("other", 1, "acme", *done, 1),
        ("plain", 1, "globex", *done, 1),
        ("throttled", 1, "acme", *done, 1),
        ("twice", 1, "acme", *done, 1),
    ]


def _steps() -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for key, *_ in _items():
        rows.append((key, 1, "search", "task", "completed", 1, _CENT, 7, f'"{key}!"', 1, True))
        if key == "fails":
            rows.append((key, 2, "summarize", "task", "failed", 1, 0, 0, None, 1, True))
            continue
        attempts = 2 if key == "throttled" else 1
        paid = (attempts, _CENT, 7, f'"{key}!!"', 1, True)
        rows.append((key, 2, "summarize", "task", "completed", *paid))
    return rows


_FINDINGS = [("fails", "exception", "failed", None), ("throttled", "retried", "note", 2)]
_ENDINGS = [
    ("fails", ["failed"]),
    ("killed", ["lost", "completed"]),
    ("other", ["completed"]),
    ("plain", ["completed"]),
    ("throttled", ["waiting", "completed"]),
    ("twice", ["completed"]),
]


class CarrierConformance:
    """The suite. ``carry`` is what an adapter writes."""

    def carry(self, dsn: str, works: Sequence[Work]) -> None:
        """Submit all works to an agent named AGENT in the run RUN, and return when all have ended.

        The agent's function is ``body`` (or ``abody``) with a Host. Under the settings SETTINGS.
        The run is sealed. Called again with the same works it goes on with the run.
        """
        raise NotImplementedError

    @pytest.fixture
    def marks(self, tmp_path: Path) -> Path:
        """The directory in which the workload remembers."""
        return tmp_path

    def test_same_rows(self, papayya_database: str, marks: Path) -> None:
        """The workload leaves exactly these items, steps, findings and dispatches; run again, too."""
        for _ in range(2):
            self.carry(papayya_database, workload(marks))
            with psycopg.connect(papayya_database) as connection:
                assert connection.execute(ITEMS).fetchall() == _items()
                assert connection.execute(STEPS).fetchall() == _steps()
                assert connection.execute(FINDINGS).fetchall() == _FINDINGS
                assert connection.execute(ENDINGS).fetchall() == _ENDINGS

    def test_nothing_dropped_or_paid_twice(self, papayya_database: str, marks: Path) -> None:
        """Every submission is explained, and only the lost worker's last step may be paid again."""
        for _ in range(2):
            self.carry(papayya_database, workload(marks))
        with psycopg.connect(papayya_database, autocommit=True) as connection:
            report = audit(connection, RUN)
        assert report.explained
        assert (report.sealed, report.dropped, report.totals.submitted) == (True, 0, 6)
        assert [lost.key for lost in report.lost] == ["killed"]
        assert (report.totals.done, report.totals.flagged) == (5, 1)
        assert report.totals.cost_nusd == 11 * _CENT
        paid = Counter((marks / "paid").read_text().split())
        assert paid.pop("killed/summarize") in (1, 2)
        assert set(paid.values()) == {1}
        assert len(paid) == 10
