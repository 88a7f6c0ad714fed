"""Budgets under fire: a database, a provider, the programs that spend, and both ledgers."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
from click.testing import CliRunner

from papayya_core.cli.main import cli
from papayya_core.fake_provider.book import Entry
from papayya_core.fake_provider.book import read as read_ledger
from tests.acceptance.recovery.processes import ROOT, StandIn
from tests.chaos import calls_books
from tests.chaos.calls_books import Call, Reckoning
from tests.support.processes import until
from tests.support.program import Program

RUN = "spend"
SETTINGS = {"PAPAYYA_LEASE_SECONDS": "3", "PAPAYYA_HEARTBEAT_SECONDS": "1"}
SETTINGS |= {"PAPAYYA_MAX_DELIVERIES": "50"}  # the kills are random: nothing here is poison
NOW = "SELECT amount, spent, held, papayya.budget_now.left FROM papayya.budget_now ORDER BY id"
STATES = "SELECT state::text, count(*) FROM papayya.item GROUP BY 1 ORDER BY 1"
OPEN = """
SELECT key, state, reason, paused_by, deliveries, sends, send_at, due_at FROM papayya.item
WHERE finished_at IS NULL ORDER BY state = 'paused', id LIMIT 20
"""
DOUBTS = "SELECT id FROM papayya.call WHERE state = 'uncertain' AND reconciled_at IS NULL"


def nusd(usd: object) -> int:
    """Turn dollars into nano-dollars."""
    from papayya_core import rules

    return rules.nano_usd(str(usd))


class Purse:
    """What is spent from it, by whom, and what its budgets say of it."""

    def __init__(self, dsn: str, folder: Path, stack: ExitStack, latency: str = "20:200") -> None:
        self.dsn, self.folder, self._stack = dsn, folder, stack
        self.provider = StandIn(folder, "--latency-ms", latency)
        stack.callback(self.provider.process.end)
        calls_books.set_prices(dsn)
        self.slack = 0  # nano-dollars that a call without a bound may be above the cap
        self.most = 0  # of spent and held together, whenever somebody looked
        self.programs: list[Program] = []
        self.env = SETTINGS | {
            "PAPAYYA_DATABASE_URL": dsn,
            "PAPAYYA_HOME": str(folder),
            "PAPAYYA_RUN_ID": RUN,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "OPENAI_BASE_URL": f"{self.provider.url}/v1",
            "OPENAI_API_KEY": "sk-purse",
        }

    def launch(self, *command: object, **env: object) -> Program:
        """Start a Python program; it never outlives the purse."""
        words = [sys.executable, *map(str, command)]
        more = {name: str(value) for name, value in env.items()}
        name = f"program-{len(self.programs)}"
        program = Program(words, self.folder, name, self.env | more)
        self._stack.callback(program.kill_group)
        program.start(lambda: True)
        self.programs.append(program)
        return program

    # -- what is asked of it --------------------------------------------------------------------

    def query(self, statement: str, *params: Any) -> list[Any]:
        """Ask Postgres."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            return connection.execute(statement, params).fetchall()

    def cap(self, usd: object) -> None:
        """Set the budget of the run."""
        self.query("SELECT papayya.set_budget_v1(run => %s, usd => %s::numeric)", RUN, str(usd))

    def states(self) -> dict[str, int]:
        """Count the items by state."""
        return dict(self.query(STATES))

    def look(self) -> bool:
        """Insist that no budget is passed at this moment."""
        for amount, spent, held, left in self.query(NOW):
            self.most = max(self.most, spent + held)
            assert spent + held <= amount + self.slack, f"{spent + held} nano-dollars of {amount}"
            assert left == amount - spent - held
        return True

    def until(self, condition: Any, what: str, seconds: float = 60.0) -> Any:
        """Wait for a condition, with an eye on the budgets."""
        return until(lambda: self.look() and condition(), what, seconds, self.evidence)

    def evidence(self) -> str:
        """Show what is open, and what the last program said."""
        tail = self.programs[-1].tail() if self.programs else ""
        return f"{self.states()}\n{self.query(NOW)}\n{self.query(OPEN)}\n{tail}"

    def papayya(self, *words: object) -> str:
        """Use the command line; return what it says."""
        env = {"PAPAYYA_DATABASE_URL": self.dsn}
        done = CliRunner().invoke(cli, [str(word) for word in words], env=env)
        assert done.exit_code == 0, done.output
        return done.output

    # -- the books ------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """Return the provider's ledger."""
        return read_ledger(self.provider.ledger_path)

    def calls(self) -> list[Call]:
        """Return our calls."""
        return calls_books.read(self.dsn)

    def billed(self) -> int:
        """Return what the provider billed, in nano-dollars."""
        return sum(entry.cost_nusd for entry in self.entries())

    def reckon(self) -> Reckoning:
        """Hold the provider's ledger against the calls, and the budgets against both."""
        self.clean()
        books = calls_books.reckon(self.calls(), self.entries(), ())
        assert books.states.get("pending", 0) == 0, books.states
        return books

    def clean(self) -> None:
        """Insist that the budgets' own books agree."""
        assert self.query("SELECT * FROM papayya.audit_budgets_v1()") == []

    def reconcile(self) -> int:
        """Say of each uncertain call what the ledger says of it; return how many there were."""
        doubts = [number for (number,) in self.query(DOUBTS)]
        bills = self._unclaimed()
        labels = {call.id: call.label for call in self.calls()}
        for number in doubts:
            found = bills[labels[number]]
            how = ["--usd", calls_books.usd(found.pop())] if found else ["--not-billed"]
            self.papayya("reconcile", number, *how)
        return len(doubts)

    def even(self) -> None:
        """Insist that nothing is held, and that what was spent is what was billed."""
        self.clean()
        [(spent, held)] = self.query("SELECT sum(spent), sum(held) FROM papayya.budget_now")
        assert (spent, held) == (self.billed(), 0)

    def _unclaimed(self) -> dict[str, list[int]]:
        """Find the bills of exchanges whose end nobody saw, by label."""
        known = {call.request_id for call in self.calls() if call.state in calls_books.SENT}
        bills: dict[str, list[int]] = defaultdict(list)
        for entry in self.entries():
            if f"req_{entry.id}" not in known and entry.cost_nusd:
                bills[str(entry.idempotency_key)].append(entry.cost_nusd)
        return bills

    def audit(self) -> dict[str, Any]:
        """Insist on a clean audit of the run; return it."""
        return calls_books.audit(self.dsn, RUN)
