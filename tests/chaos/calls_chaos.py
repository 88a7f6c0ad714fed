"""Money under fire: every fault of the provider, SDKs and queue that try again, killed workers.

``python -m tests.chaos.calls_chaos --items 2000``. Ends with 0 when the provider's ledger and the
call rows agree to the nano-dollar and token, but for what is known not to be known; when no answer
was bought that was there; and when the audit is clean.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from papayya_core import runtime
from papayya_core.fake_provider.book import Entry
from papayya_core.fake_provider.book import read as read_ledger
from papayya_core.fake_provider.faults import KINDS
from tests.acceptance.recovery.processes import StandIn
from tests.chaos import calls_books, document
from tests.chaos.calls_books import Call, Reckoning
from tests.chaos.siege import OPEN_ITEMS, Siege
from tests.support.processes import until
from tests.support.redis_server import RedisServer

APP = Path(__file__).with_name("calls_tasks.py")
RUN = "money"
SETTINGS = {"PAPAYYA_LEASE_SECONDS": "4", "PAPAYYA_HEARTBEAT_SECONDS": "1"}
SETTINGS |= {"PAPAYYA_MAX_DELIVERIES": "20"}  # the kills are random: nothing here is poison
SOON = {"retry_after": 0.05}
PARAMS: dict[str, dict[str, Any]] = {
    "rate_limit": SOON,
    "server_error": SOON,
    "overloaded": SOON,
    "slow": {"seconds": 2},  # longer than the clients wait
    "timeout": {"seconds": 2},
}
RARE = frozenset({"schema_violation", "null_tool_call"})  # few requests can have them
PATIENCE_S = 120.0
EACH_S = 0.4  # an item, at most, on the slowest machine
ENDED = "SELECT count(*) FROM papayya.item WHERE finished_at IS NOT NULL AND send_at IS NULL"
PENDING = "SELECT count(*) FROM papayya.call WHERE state = 'pending'"
UNEVEN = """
SELECT i.key, i.cost_nusd, sum(k.cost_nusd) FROM papayya.item i JOIN papayya.call k ON k.item_id = i.id
GROUP BY i.id HAVING i.cost_nusd IS DISTINCT FROM sum(k.cost_nusd)
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of what; ``rate``: the share of requests that each fault befalls."""

    items: int = 2000
    rate: float = 0.02
    seed: int = 1
    workers: int = 2
    concurrency: int = 4
    children: int = 40
    parents: int = 6
    postgres: int = 1
    clients: str = "openai anthropic"


@dataclass(slots=True)
class Report:
    """What happened, and what it cost."""

    plan: Plan
    seconds: float = 0.0
    deliveries: int = 0
    lost: int = 0
    entries: int = 0
    tokens: int = 0
    killed: dict[str, int] = field(default_factory=dict)
    books: Reckoning | None = None


class Market(Siege):
    """A siege with a provider, from which the workers buy."""

    def __init__(self, plan: Plan, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, stack, plan.seed, PATIENCE_S)
        self.plan = plan
        redis = RedisServer(folder / "redis")
        stack.callback(redis.kill)
        self.provider = StandIn(folder, "--gzip", "--latency-ms", "5:40")
        stack.callback(self.provider.process.end)
        self.app = self.import_app(APP, self._env(redis.fresh_url()))
        calls_books.set_prices(self.postgres.dsn)
        env = {"MONEY_CLIENTS": plan.clients}
        self.start_workers(APP, plan.workers, plan.concurrency, env)

    def _env(self, url: str) -> dict[str, str]:
        env = SETTINGS | {"PAPAYYA_DATABASE_URL": self.postgres.dsn}
        env |= {"MONEY_FOLDER": str(self.folder), "BROKER_URL": url, "RESULT_URL": url}
        env |= {"OPENAI_BASE_URL": f"{self.provider.url}/v1", "OPENAI_API_KEY": "sk-money"}
        return env | {"ANTHROPIC_BASE_URL": self.provider.url, "ANTHROPIC_API_KEY": "sk-ant-money"}

    # -- what is asked of it ------------------------------------------------------------------

    def publish(self, task: Any) -> None:
        """Submit the items to a task, as a run."""
        import papayya_celery
        from papayya import run

        names = [f"m{n}" for n in range(self.plan.items)]
        with run(RUN, run_id=RUN, expect=names):
            papayya_celery.submit(task, [{"name": name} for name in names], ignore_result=True)

    def evil(self) -> None:
        """Switch on every fault; each befalls a request once at most."""
        self.provider.faults(
            *(
                {"kind": kind, "rate": self.plan.rate * (5 if kind in RARE else 1), "times": 1}
                | {"params": PARAMS.get(kind, {})}
                for kind in KINDS
                if kind != "no_credit"  # that parks, for somebody to pay
            )
        )

    def _acts(self) -> list[tuple[int, Callable[[], None]]]:
        """List what happens when so many items have ended."""
        plan = self.plan
        acts = [
            (int(plan.items * 0.9 * (n + self.luck.random()) / number), act)
            for act, number in (
                (self.kill_child, plan.children),
                (self.kill_parent, plan.parents),
                (self.kill_postgres, plan.postgres),
            )
            for n in range(number)
        ]
        return sorted(acts, key=lambda one: one[0])

    # -- the whole ------------------------------------------------------------------------------

    def run(self) -> Report:
        """Buy while things break; then wait for everything, and hold it against the books."""
        self.evil()
        began = time.monotonic()
        self.publish(self.app.ask)
        for ended, act in self._acts():
            self.wait(ended)
            act()
        self.wait(self.plan.items)
        seconds = round(time.monotonic() - began, 1)
        self.provider.faults()
        self.quiet()
        report = self.check()
        report.seconds = seconds
        return report

    def wait(self, ended: int) -> None:
        """Wait until so many items have ended."""
        limit = PATIENCE_S + EACH_S * self.plan.items
        what = f"{ended} items have ended"
        until(lambda: self.query(ENDED)[0][0] >= ended, what, limit, self.evidence)

    def quiet(self) -> None:
        """Wait until no call is under way: what nobody knows the end of is told to be uncertain."""
        what = "no call is pending"
        until(lambda: self.query(PENDING) == [(0,)], what, PATIENCE_S, self.evidence)

    def evidence(self) -> str:
        """Show what is open, and the end of the workers' logs."""
        tails = "\n".join(worker.program.tail() for worker in self.workers)
        return f"{self.query(OPEN_ITEMS)}\n{tails}"

    def entries(self) -> list[Entry]:
        """Return the provider's ledger."""
        return read_ledger(self.provider.ledger_path)

    def calls(self) -> list[Call]:
        """Return our calls."""
        return calls_books.read(self.postgres.dsn)

    def reckon(self) -> Reckoning:
        """Hold the ledger against the calls."""
        noted = self.folder / "unusable"
        unusable = set(noted.read_text().split()) if noted.exists() else set()
        return calls_books.reckon(self.calls(), self.entries(), unusable)

    def check(self) -> Report:
        """Hold ledger, calls, items, audit and outputs against each other."""
        entries, books = self.entries(), self.reckon()
        lost = self.audit(books)
        assert self.query(UNEVEN) == []
        paid = defaultdict(set)
        for call in self.calls():
            paid[call.item].add(call.response_id)
        ids = [row[0] for row in self.query("SELECT id FROM papayya.item")]
        for result in runtime.runtime().engine().results(ids).values():
            assert set(result.output) <= paid[result.key], f"{result.key} has not bought {result}"
        [[deliveries]] = self.query("SELECT sum(deliveries) FROM papayya.item")
        tokens = sum(entry.prompt_tokens + entry.output_tokens for entry in entries)
        killed = dict(self.killed)
        return Report(self.plan, 0.0, deliveries, lost, len(entries), tokens, killed, books)

    def audit(self, books: Reckoning) -> int:
        """Insist on a clean audit with the same sums; return how many deliveries were lost."""
        told = calls_books.audit(self.postgres.dsn, RUN)
        assert told["totals"]["completed"] == self.plan.items, told["totals"]
        sides = {told[f"{name}_nusd"] for name in ("calls", "items", "spend")}
        assert sides == {books.spent}, told
        assert told["unbounded_calls"] == 0, told
        assert told["uncertain_nusd"] == books.uncertain, told
        return len(told["lost_deliveries"])


def unleash(plan: Plan, folder: Path) -> Report:
    """Run it all; raises AssertionError for what is not as it was promised."""
    with ExitStack() as stack:
        return Market(plan, folder, stack).run()


def table(report: Report) -> list[tuple[str, str]]:
    """Lay out a report."""
    plan, books = report.plan, report.books
    assert books is not None
    states = books.states
    counts = ", ".join(f"{n:,} {state}" for state, n in sorted(states.items()))
    return [
        ("items", f"{plan.items:,} in {report.seconds:,.0f} s"),
        ("deliveries", f"{report.deliveries:,}, of which {report.lost:,} were lost"),
        ("killed with -9", ", ".join(f"{n} {what}" for what, n in report.killed.items())),
        ("requests that the provider has seen", f"{report.entries:,}"),
        ("of which with a fault", ", ".join(f"{n} {k}" for k, n in sorted(books.faults.items()))),
        ("call rows", counts),
        ("answers that were no good, asked anew", f"{books.resampled:,}"),
        ("answers bought twice at one moment, by a lost delivery", f"{books.overlapping:,}"),
        ("spent, by the call rows", "$" + calls_books.usd(books.spent)),
        ("billed, by the provider's ledger", "$" + calls_books.usd(books.ledger)),
        ("spent + uncertain", "$" + calls_books.usd(books.spent + books.uncertain)),
        ("not bought again, thanks to the journal", "$" + calls_books.usd(books.saved)),
        ("nano-dollars and tokens without an explanation", "0"),
    ]


def main() -> None:
    """Read the command line and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="papayya-money-"))
    print(f"logs and ledger: {folder}", flush=True)
    lines = table(unleash(Plan(items=given.items, seed=given.seed), folder))
    for name, value in lines:
        print(f"{name}: {value}")
    if given.write:
        rows = (f"| {name} | {value} |" for name, value in lines)
        document.put("money", ["|  |  |", "| --- | --- |", *rows])


if __name__ == "__main__":
    main()
