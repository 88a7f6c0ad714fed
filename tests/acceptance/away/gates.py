"""What these tests say to a gated script, and what they ask of the books afterwards."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg

from papayya_core import spool_files
from papayya_core.audit import audit
from papayya_core.embedded import Server
from papayya_core.fake_provider.book import read
from tests.acceptance.recovery.processes import Process, until
from tests.acceptance.recovery.world import World
from tests.chaos import calls_books

SCRIPT = Path(__file__).parent / "scripts" / "gated.py"


@dataclass
class Gates:
    """The files that a script waits for, and its spool."""

    world: World
    server: Server

    def __post_init__(self) -> None:
        self.folder.mkdir()

    @property
    def folder(self) -> Path:
        """Where the gates are."""
        return self.world.folder / "gates"

    def start(self, calls: int, *options: str) -> Process:
        """Start the script."""
        return self.world.launch([sys.executable, str(SCRIPT), str(calls), *options])

    def open(self, *names: str) -> None:
        """Open gates."""
        for name in names:
            (self.folder / name).touch()

    def let(self, *numbers: int) -> None:
        """Let questions be asked and answered."""
        self.open(*(f"{gate}-{k}" for k in numbers for gate in ("ask", "take")))

    def until(self, name: str) -> None:
        """Wait for a mark of the script's."""
        process = self.world.processes[-1]

        def is_there() -> bool:
            assert process.popen.poll() in (None, 0), process.complained[-3000:]
            return (self.folder / name).exists()

        until(is_there, name)

    def spooled(self) -> list[str]:
        """Name what waits in the spool of this home."""
        return [
            entry.name
            for one, contents in spool_files.listing(self.world.folder)
            for entry in contents.entries
            if not one.is_refused
        ]

    def files(self) -> list[str]:
        """Name the files of the spool."""
        return [one.path.name for one in spool_files.found(self.world.folder)]

    def books(self) -> calls_books.Reckoning:
        """Hold the calls against the stand-in's ledger; the audit must explain all."""
        self.world.cli("pump", "--once").succeed()
        ledger = read(self.world.stand_in.ledger_path)
        books = calls_books.reckon(calls_books.read(self.server.dsn), ledger, ())
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            report = audit(connection, self.world.run)
        assert report.explained, report.unexplained
        return books

    def paid(self) -> list[str | None]:
        """Name the answers that were paid, in order."""
        return [entry.response_id for entry in self.world.stand_in.paid()]
