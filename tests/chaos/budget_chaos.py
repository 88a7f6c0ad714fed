"""Caps under fire: many workers that spend at once, killed without warning, on a budget that holds.

``python -m tests.chaos.budget_chaos cap`` (64 workers, $5, on threads, Celery's processes and
Celery's threads, with a bound and without) and ``… run`` (10,000 items, $40, raised until all is
done, in scripts and on Celery). Ends with 0 when not a nano-dollar was spent above a cap (without a
bound: one call at most), when every hold is gone after reconciliation, and when the provider's
ledger and the books agree.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from papayya_core import migrate
from tests.acceptance.recovery.postgres import lasting_server
from tests.chaos import document
from tests.chaos.purse import Purse, nusd
from tests.support.celery_worker import CeleryWorker
from tests.support.redis_server import RedisServer

HERE = Path(__file__).parent
SCRIPT, APP = HERE / "budget_map.py", HERE / "budget_tasks.py"
CARRIERS = ("plain", "celery")
RESTING = """
SELECT count(*) = 0 FROM papayya.item i LEFT JOIN papayya.budget_now b ON b.id = i.parked_on
WHERE i.state IN ('queued', 'running', 'waiting') OR (i.finished_at IS NOT NULL AND i.send_at IS NOT NULL)
   OR coalesce(i.wants, 1) <= b.left
"""
PENDING = "SELECT count(*) FROM papayya.call WHERE state = 'pending'"
SPENDERS = """
SELECT DISTINCT split_part(d.locked_by, '/', 4)::int FROM papayya.dispatch d
JOIN papayya.call k ON k.dispatch_id = d.id WHERE k.state = 'pending'
"""
PATIENCE_S = 120.0
LONGEST = 90  # tokens of a sample, at most, that the stand-in makes when nobody limits it


@dataclass(frozen=True, slots=True)
class Plan:
    """How much, by how many, on what; ``samples``: of a call on average, 74 are some $0.10."""

    carrier: str = "plain"
    items: int = 200
    cap: str = "5"
    raises: tuple[str, ...] = ()
    programs: int = 4
    slots: int = 16
    kills: int = 4
    samples: int = 74
    bounded: bool = True
    seed: int = 1
    patience: float = PATIENCE_S


@dataclass(slots=True)
class Pause:
    """What was spent when nothing went on any more, in nano-dollars."""

    cap: int
    spent: int
    held: int
    billed: int
    paused: int
    completed: int


@dataclass(slots=True)
class Report:
    """What happened."""

    plan: Plan
    seconds: float = 0.0
    requests: int = 0
    kills: int = 0
    uncertain: int = 0
    most: int = 0
    dearest: int = 0
    over: int = 0
    pauses: list[Pause] = field(default_factory=list)


class Fire:
    """The programs that spend from a purse, and what is done to them."""

    def __init__(self, plan: Plan, purse: Purse, stack: ExitStack) -> None:
        self.plan, self.purse = plan, purse
        self.luck = random.Random(plan.seed)
        self.report = Report(plan)
        self._began = time.monotonic()
        env = {"CAP_SAMPLES": plan.samples, "CAP_BOUNDED": int(plan.bounded), "CAP_USD": plan.cap}
        self.purse.env |= {name: str(value) for name, value in env.items()}
        self.crew: Scripts | Workers = (
            Scripts(self) if plan.carrier == "plain" else Workers(self, stack)
        )

    def burn(self, kills: int) -> None:
        """Kill programs while they spend, until nothing goes on any more."""
        moments = sorted(self.luck.random() for _ in range(kills))
        calls = nusd(self.plan.cap) // nusd(self._usual())
        begun = self.purse.provider.last()
        for moment in moments:
            due = begun + int(moment * calls * 0.8)
            self._until(lambda due=due: self.purse.provider.last() >= due or self.rests(), "calls")  # type: ignore[misc]
            self.report.kills += self.crew.kill()
        self._until(self.rests, "nothing goes on any more")

    def spend(self, requests: int) -> None:
        """Wait for so many requests more, or for the end."""
        due = self.purse.provider.last() + requests
        self._until(lambda: self.purse.provider.last() >= due or self.rests(), "requests")

    def _usual(self) -> str:
        return f"{self.plan.samples * 54 * 25 / 1_000_000:.9f}"

    def _until(self, condition: Callable[[], object], what: str) -> None:
        self.purse.until(condition, what, self.plan.patience)

    def rests(self) -> bool:
        """Tell whether nobody is at work, and nothing is about to be."""
        return self.crew.rests() and self.purse.query(PENDING) == [(0,)]

    def victim(self, pids: list[int]) -> int:
        """Choose one of these processes, rather one that has a call under way."""
        spending = {pid for (pid,) in self.purse.query(SPENDERS)}
        return self.luck.choice([pid for pid in pids if pid in spending] or pids)

    def pause(self) -> Pause:
        """Hold the books against the cap, while nothing goes on.

        A late copy of a message may open a parked item once more, which parks again.
        """
        parked = "every item is parked or done"
        self._until(lambda: self.purse.states().keys() <= {"paused", "completed"}, parked)
        books = self.purse.reckon()
        [(amount, spent, held)] = self.purse.query(
            "SELECT amount, spent, held FROM papayya.budget_now"
        )
        assert books.spent == spent
        billed, completed = self.purse.billed(), self.purse.states().get("completed", 0)
        made = Pause(amount, spent, held, billed, self.plan.items - completed, completed)
        self.report.pauses.append(made)
        self.report.over = max(self.report.over, spent + held - amount, billed - amount)
        assert sum(self.purse.states().values()) == self.plan.items
        return made

    def end(self) -> Report:
        """Reconcile what is not known, and hold everything against everything."""
        self.crew.stop()
        self.report.uncertain += self.purse.reconcile()
        self.purse.even()
        self.purse.audit()
        entries = self.purse.entries()
        self.report.requests = len(entries)
        self.report.dearest = max(entry.cost_nusd for entry in entries)
        self.report.most = self.purse.most
        self.report.seconds = time.monotonic() - self._began
        return self.report


class Scripts:
    """Scripts beside each other, each a process of many threads."""

    def __init__(self, fire: Fire) -> None:
        self._fire, plan = fire, fire.plan
        self._command = (SCRIPT, plan.items, plan.slots)
        self.start(plan.programs)

    def start(self, number: int) -> None:
        """Start the script, so many times."""
        self.programs = [self._fire.purse.launch(*self._command) for _ in range(number)]

    def kill(self) -> bool:
        """Kill one of them, and start it again; tell whether there was one."""
        running = [program.pid for program in self.programs if program.running]
        if not running:
            return False
        victim = self._fire.victim(running)
        place = next(n for n, program in enumerate(self.programs) if program.pid == victim)
        self.programs[place].kill_group()
        self.programs[place] = self._fire.purse.launch(*self._command)
        return True

    def rests(self) -> bool:
        """Tell whether all of them have ended; insist that they ended well."""
        for program in self.programs:
            assert program.running or self._code(program) == 0, program.tail()
        return not any(program.running for program in self.programs)

    @staticmethod
    def _code(program: Any) -> int | None:
        return program.popen.returncode  # type: ignore[no-any-return]

    def stop(self) -> None:
        """See to it that none runs."""
        for program in self.programs:
            program.kill_group()


class Workers:
    """Celery's workers; the pumps in them let items go on when the budget is raised."""

    def __init__(self, fire: Fire, stack: ExitStack) -> None:
        self._fire, plan, purse = fire, fire.plan, fire.purse
        redis = RedisServer(purse.folder / "redis")
        stack.callback(redis.kill)
        url = redis.fresh_url()
        purse.env |= {"BROKER_URL": url, "RESULT_URL": url}
        purse.env |= {"PYTHONPATH": f"{HERE}:{purse.env['PYTHONPATH']}"}
        slots, self.workers = plan.programs * plan.slots, []
        for pool, number in (("prefork", slots // 4), ("threads", slots - slots // 4)):
            worker = CeleryWorker(
                APP, purse.folder, name=pool, pool=pool, concurrency=number, env=purse.env
            )
            stack.callback(worker.program.kill_group)
            worker.start(PATIENCE_S)
            self.workers.append(worker)
        code = f"from budget_tasks import publish; publish({plan.items})"
        publisher = purse.launch("-c", code)
        publisher.until(lambda: not publisher.running, "all is published", PATIENCE_S)
        assert publisher.popen is not None
        assert publisher.popen.returncode == 0, publisher.tail()

    def start(self, number: int) -> None:
        """They run on."""

    def kill(self) -> bool:
        """Kill a child, or a worker with its children or without, and start it again."""
        luck, worker = self._fire.luck, self._fire.luck.choice(self.workers)
        if worker.children and luck.random() < 0.5:
            worker.kill_child(self._fire.victim(worker.children))
        else:
            worker.kill_parent(orphans=luck.random() < 0.5)
            worker.start(PATIENCE_S)
        return True

    def rests(self) -> bool:
        """Tell whether all items have ended or are parked."""
        return self._fire.purse.query(RESTING) == [(True,)]

    def stop(self) -> None:
        """End the workers, as an operator does."""
        for worker in self.workers:
            worker.stop()


def cap(plan: Plan, purse: Purse, stack: ExitStack) -> Report:
    """Spend until nothing is left. Raises AssertionError for what is not as it was promised."""
    fire = Fire(plan, purse, stack)
    purse.slack = 0 if plan.bounded else plan.samples * 3 // 2 * LONGEST * 25_000
    fire.burn(plan.kills)
    fire.pause()
    while found := purse.reconcile():  # what comes back is spent, too
        fire.report.uncertain += found
        fire.crew.start(plan.programs)
        fire.burn(0)
        fire.pause()
    report = fire.end()
    allowed = 0 if plan.bounded else report.dearest
    assert report.over <= allowed, f"{report.over} nano-dollars above the cap"
    return report


def run(plan: Plan, purse: Purse, stack: ExitStack) -> Report:
    """Spend, raise the budget whenever nothing is left, and go on until all is done.

    The last time it is raised while the programs are at work.
    """
    fire = Fire(plan, purse, stack)
    *rests, last = plan.raises
    for raised in rests:
        fire.burn(plan.kills)
        assert fire.pause().paused > 0
        purse.cap(raised)
        fire.crew.start(plan.programs)
    fire.spend(plan.items // 20)
    purse.cap(last)
    fire.burn(0)
    while purse.states().get("paused"):
        fire.crew.start(plan.programs)
        fire.burn(0)
    assert fire.pause().completed == plan.items
    report = fire.end()
    assert report.over <= 0, f"{report.over} nano-dollars above the cap"
    assert once(purse) == plan.items
    return report


def once(purse: Purse) -> int:
    """Count the items; insist that no answer was bought that was there."""
    [(done,)] = purse.query("SELECT count(*) FROM papayya.item WHERE outcome = 'ok'")
    answered = [call.item for call in purse.calls() if call.state == "answered"]
    assert set(answered) == {f"m{n}" for n in range(done)}
    return int(done)


@contextmanager
def place(folder: Path) -> Iterator[tuple[Purse, ExitStack]]:
    """Make a purse on a Postgres of its own that waits for the disk."""
    with ExitStack() as stack:
        server = stack.enter_context(lasting_server())
        migrate.apply(server.dsn)
        yield Purse(server.dsn, folder, stack), stack


CAPS = {
    "64 threads in 4 scripts": Plan(),
    "64 threads in 1 script": Plan(programs=1, slots=64),
    "64 slots of Celery": Plan(carrier="celery"),
    "64 threads, without a bound": Plan(bounded=False),
}
LONG = Plan(items=10_000, cap="40", raises=("65", "80", "130"), samples=8, kills=1, patience=3600)
RUNS = {
    "a script of 16 threads": replace(LONG, programs=1),
    "16 slots of Celery": replace(LONG, carrier="celery", programs=1),
}


def describe(name: str, report: Report) -> list[str]:
    """Write a report as rows of a table."""
    plan = report.plan
    what = f"{name}, {report.kills} killed"
    rows = [
        f"| {what}, at ${_usd(pause.cap)} | {pause.completed:,} of {plan.items:,}"
        f" | ${_usd(pause.spent)} | ${_usd(pause.held)} | ${_usd(pause.billed)}"
        f" | ${_usd(max(0, pause.spent + pause.held - pause.cap, pause.billed - pause.cap))} |"
        for pause in report.pauses
    ]
    return [
        *rows,
        f"| all of it, in {report.seconds:,.0f} s, {report.requests:,} calls |  |  |  |  |  |",
    ]


def _usd(nano: int) -> str:
    return f"{nano / 10**9:.6f}"  # to be read, not to be reckoned with


HEAD = ("| | items done | spent | held | billed | above |", "| --- | --- | --- | --- | --- | --- |")


def main() -> None:
    """Read the command line and print the reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("cap", "run"), help="only this")
    parser.add_argument("--items", type=int, help="of a run")
    parser.add_argument("--carrier", choices=CARRIERS, help="only this one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    given = parser.parse_args()
    plans = [(cap, each) for each in CAPS.items() if given.what != "run"]
    plans += [(run, each) for each in RUNS.items() if given.what != "cap"]
    lines: list[str] = []
    for act, (name, plan) in plans:
        if given.carrier in (None, plan.carrier):
            lines += _measure(act, name, _scaled(plan, given.items, given.seed))
    if given.write:
        document.put("caps", [*HEAD, *lines])


def _scaled(plan: Plan, items: int | None, seed: int) -> Plan:
    """Shrink a run: its budgets with its items."""
    plan = replace(plan, seed=seed)
    if items is None or not plan.raises:
        return plan
    less = Decimal(items) / plan.items
    raises = tuple(str(Decimal(each) * less) for each in plan.raises)
    return replace(plan, items=items, cap=str(Decimal(plan.cap) * less), raises=raises)


def _measure(act: Callable[..., Report], name: str, plan: Plan) -> list[str]:
    folder = Path(tempfile.mkdtemp(prefix="papayya-budget-"))
    print(f"{name}: logs and ledger in {folder}", flush=True)
    with place(folder) as (purse, stack):
        lines = describe(name, act(plan, purse, stack))
    print(*lines, sep="\n", flush=True)
    return lines


if __name__ == "__main__":
    main()
