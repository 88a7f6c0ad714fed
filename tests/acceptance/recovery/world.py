"""What a test of recovery works in: a database, a stand-in, and scripts that die and come back."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.acceptance.recovery.ledger import Books, compare
from tests.acceptance.recovery.processes import ROOT, SCRIPTS, Process, StandIn, until

LEASE = {"PAPAYYA_LEASE_SECONDS": "3", "PAPAYYA_HEARTBEAT_SECONDS": "1"}


@dataclass(slots=True)
class World:
    """A database, a stand-in, and the processes that a test starts; all of them end with it.

    ``calls``: whether calls are recorded. Most scripts say themselves what they cost.
    """

    dsn: str
    folder: Path
    stand_in: StandIn
    run: str = "recovery"
    calls: bool = False
    settings: dict[str, str] = field(default_factory=lambda: dict(LEASE))
    processes: list[Process] = field(default_factory=list)

    def start(self, script: str, *arguments: object) -> Process:
        """Start a script, always for the same run."""
        return self.launch([sys.executable, str(SCRIPTS / script), *map(str, arguments)])

    def cli(self, *arguments: str) -> Process:
        """Start the command line."""
        return self.launch([str(Path(sys.executable).with_name("papayya")), *arguments])

    def launch(self, command: list[str]) -> Process:
        """Start a program with the settings of this world."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PAPAYYA_", "OPENAI_"))}
        env = kept | {
            "PAPAYYA_DATABASE_URL": self.dsn,
            "PAPAYYA_HOME": str(self.folder),
            "PAPAYYA_RUN_ID": self.run,
            "PAPAYYA_LLM": str(self.calls),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")])),
            "OPENAI_BASE_URL": f"{self.stand_in.url}/v1",
            "OPENAI_API_KEY": "sk-recovery",
        }
        log = self.folder / f"process-{len(self.processes)}"
        process = Process(command, env | self.settings, log)
        self.processes.append(process)
        return process

    def query(self, statement: str, *params: Any) -> list[Any]:
        """Ask the database, each time over a connection of its own."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            return connection.execute(statement, params).fetchall()

    def value(self, statement: str, *params: Any) -> Any:
        """Ask the database for one value."""
        [[value]] = self.query(statement, *params)
        return value

    def until_asked(self, number: int) -> None:
        """Wait until the stand-in received this many requests, ever."""
        until(lambda: self.stand_in.last() >= number or self._failed(), f"{number} requests")
        assert not self._failed(), self.processes[-1].complained

    def _failed(self) -> bool:
        return bool(self.processes) and self.processes[-1].popen.poll() not in (None, 0)

    def compare(self, *lost_by: Process) -> Books:
        """Hold the audit of the run against the ledger; see ``ledger.compare``."""
        pids = {process.pid for process in lost_by}
        books = compare(self.dsn, self.run, self.stand_in.paid(), pids)
        sys.stdout.write(books.describe() + "\n")  # pytest shows it if the test fails
        return books
