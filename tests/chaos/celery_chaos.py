"""Chords and groups under fire: workers killed, broker and results flushed, Postgres killed.

``python -m tests.chaos.celery_chaos --broker rabbitmq --items 2000 --minutes 5``. Ends with 0 when
the audit is clean, every result is right, and every extra payment has a lost delivery to explain
it.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from papayya_core.audit import Audit, audit
from tests.chaos.siege import OPEN_ITEMS, Siege
from tests.support.processes import PATIENCE_S as STARTING_S
from tests.support.processes import until
from tests.support.rabbitmq_server import RabbitServer
from tests.support.redis_server import RedisServer

APP = Path(__file__).with_name("chaos_tasks.py")
RUN = "chaos"
SIZE = 10  # of a chord, and of a group
LABELS = ("first", "second", "third")
SETTINGS = {"PAPAYYA_LEASE_SECONDS": "6", "PAPAYYA_HEARTBEAT_SECONDS": "1.5"}
SETTINGS |= {"PAPAYYA_MAX_DELIVERIES": "20"}  # the kills are random: nothing here is poison
PATIENCE_S = 120.0
SOME = "SELECT id FROM papayya.item WHERE state IN ('queued', 'running') ORDER BY random() LIMIT %s"
PAUSE = "SELECT papayya.pause_v1(NULL, NULL, %s::bigint[])"
PAUSED = "SELECT coalesce(array_agg(id), '{}') FROM papayya.item WHERE paused_by IS NOT NULL"
RESUME = "SELECT papayya.resume_v1(NULL, NULL, %s::bigint[])"
OPEN = "SELECT count(*) FROM papayya.item WHERE finished_at IS NULL OR send_at IS NOT NULL"
SENDS = "SELECT coalesce(sum(deliveries), 0), max(deliveries) FROM papayya.item"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much, for how long, on what; the seed decides about everything random here."""

    broker: str = "redis"
    items: int = 2000
    seconds: float = 300.0
    seed: int = 1
    workers: int = 2
    concurrency: int = 3


@dataclass(slots=True)
class Report:
    """What happened, and what it cost."""

    broker: str
    seed: int
    items: int = 0
    chords: int = 0
    killed: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    payments: int = 0
    extra_payments: int = 0
    lost_deliveries: int = 0
    deliveries: int = 0


class Chaos(Siege):
    """A siege with chords and groups, and a broker that is flushed."""

    def __init__(self, plan: Plan, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, stack, plan.seed, STARTING_S)
        self.plan = plan
        self.report = Report(plan.broker, plan.seed, killed=self.killed)
        self.redis = RedisServer(folder / "redis")
        stack.callback(self.redis.kill)
        results = url = self.redis.fresh_url()
        if plan.broker == "rabbitmq":
            rabbit = RabbitServer(folder / "rabbitmq")
            stack.callback(rabbit.close)
            url = rabbit.fresh_url()
        self.app = self.import_app(APP, self._env(url, results))
        self.start_workers(APP, plan.workers, plan.concurrency)
        self.results: dict[str, tuple[Any, list[str]]] = {}
        stack.callback(self.results.clear)  # they want to talk to Redis when they go

    def _env(self, url: str, results: str) -> dict[str, str]:
        plan = self.plan
        slow = plan.seconds * plan.workers * plan.concurrency / plan.items / 2.5
        env = SETTINGS | {"PAPAYYA_DATABASE_URL": self.postgres.dsn}
        env |= {"CHAOS_FOLDER": str(self.folder), "CHAOS_SLOW_SECONDS": f"{slow:.3f}"}
        return env | {"BROKER_URL": url, "RESULT_URL": results}

    # -- what is asked of it --------------------------------------------------------------------

    def publish(self, number: int) -> None:
        """Submit a chord or a group."""
        names = [f"m{number}-{n}" for n in range(SIZE)]
        header = [self.app.member.si(name=name) for name in names]
        from celery import chord, group

        if number % 2:
            body = f"body{number}"
            self.results[body] = chord(header, self.app.gather.s(name=body)).apply_async(), names
            self.report.chords += 1
        else:
            self.results[f"group{number}"] = group(header).apply_async(), names
        self.report.items += SIZE

    # -- what is done to it ---------------------------------------------------------------------

    def flush(self) -> None:
        """Empty the broker and the result backend."""
        self.redis.flushall()
        if self.plan.broker == "rabbitmq":
            self.app.app.control.purge()
        self.note("flushed")

    def pause(self) -> None:
        """Pause some items, and resume those that were paused before."""
        self.resume()
        ids = [row[0] for row in self.query(SOME, SIZE)]
        self.query(PAUSE, ids)

    def resume(self) -> None:
        """Resume what is paused."""
        [[ids]] = self.query(PAUSED)
        self.query(RESUME, ids)

    # -- the whole ------------------------------------------------------------------------------

    def run(self) -> Report:
        """Publish while things break; then wait for everything, and hold it against the books."""
        from papayya import run

        began = time.monotonic()
        with run(RUN, run_id=RUN, expect=self.plan.items):
            for moment, act in self._script():
                until(lambda at=began + moment: time.monotonic() > at, "its time", moment + 60)  # type: ignore[misc]
                act()
        self.resume()
        self.wait()
        with run(RUN, run_id=RUN):  # what was published without Postgres may have opened it again
            pass
        self.report.seconds = round(time.monotonic() - began, 1)
        self.check()
        return self.report

    def _script(self) -> list[tuple[float, Callable[[], None]]]:
        """List what happens when: seconds from the start."""
        total, batches = self.plan.seconds, self.plan.items // SIZE
        acts: list[tuple[float, Callable[[], None]]] = [
            (0.7 * total * n / batches, lambda n=n: self.publish(n))  # type: ignore[misc]
            for n in range(batches)
        ]
        kills = max(4, int(total / 6))
        for act, number in ((self.kill_child, kills), (self.kill_parent, max(2, kills // 5))):
            each = 0.8 * total / number
            acts += [(each * (n + self.luck.random()), act) for n in range(number)]
        pauses = max(3, int(total / 15))
        acts += [(0.75 * total * (n + 0.5) / pauses, self.pause) for n in range(pauses)]
        acts += [(0.4 * total, self.flush), (0.6 * total, self.kill_postgres)]
        return sorted(acts, key=lambda one: one[0])

    def wait(self) -> None:
        """Wait until every item has ended, and its end is known."""

        def evidence() -> str:
            return f"{self.query(OPEN_ITEMS)}\n{self.workers[0].program.tail()}"

        limit = PATIENCE_S + self.plan.seconds
        until(lambda: self.query(OPEN) == [(0,)], "everything has ended", limit, evidence)
        for name, (result, _) in self.results.items():
            until(result.ready, f"{name} is ready", PATIENCE_S, lambda one=result: _states(one))  # type: ignore[misc]

    def check(self) -> None:
        """Hold results, audit and ledger against each other."""
        for name, (result, names) in self.results.items():
            assert result.successful(), f"{name} is no success"
            assert result.get() == names, f"{name} is wrong: {result.get()}"
            parts = result.parent or result
            assert all(one.state == "SUCCESS" for one in parts.results), f"{name} has failures"
        with psycopg.connect(self.postgres.dsn, autocommit=True) as connection:
            books = audit(connection, RUN)
        expected = self.report.items + self.report.chords
        assert books.explained, books.unexplained
        assert books.dropped == 0, books
        assert books.totals.completed == books.totals.submitted == expected, books.totals
        self._explain(books)
        [[self.report.deliveries, _]] = self.query(SENDS)

    def _explain(self, books: Audit) -> None:
        """Every step was paid once, and once more at most for each delivery that was lost."""
        lines = (self.folder / "ledger").read_text().splitlines()
        paid = Counter(tuple(line.split()[:2]) for line in lines)
        due = {
            (name, label)
            for _, names in self.results.values()
            for name in names
            for label in LABELS
        }
        due |= {(name, "gather") for name in self.results if name.startswith("body")}
        assert set(paid) == due
        lost = Counter(one.key for one in books.lost)
        for (name, label), times in paid.items():
            assert times - 1 <= lost[name], f"{name} {label} was paid {times} times"
        self.report.payments = sum(paid.values())
        self.report.extra_payments = self.report.payments - len(due)
        self.report.lost_deliveries = len(books.lost)


def _states(result: Any) -> str:
    parts = (result.parent or result).results
    return "\n".join(f"{one.id} {one.state} {one.info}" for one in parts)


def unleash(plan: Plan, folder: Path) -> Report:
    """Run it all; raises AssertionError for what is not as it was promised."""
    with ExitStack() as stack:
        return Chaos(plan, folder, stack).run()


def main() -> None:
    """Read the command line and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", choices=("redis", "rabbitmq"), default="redis")
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="papayya-chaos-"))
    print(f"logs and ledger: {folder}")
    report = unleash(Plan(given.broker, given.items, given.minutes * 60, given.seed), folder)
    for name, value in asdict(report).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
