"""What these tests work in: a database with the stand-in's prices, the stand-in, environments."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from papayya_core.cli.main import cli
from papayya_core.fake_provider.book import Entry, read
from tests.support.program import Program

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).parent
PATIENCE_S = 60.0  # importing a framework is most of it
CALLS = """
    SELECT state, item, model, cost_nusd, tokens_output,
           tokens_input + tokens_cache_read + tokens_cache_write + tokens_cache_write_1h
    FROM papayya.call_now WHERE kind IN ('llm', 'embedding') ORDER BY id
"""
FINDINGS = "SELECT check_name, reason, evidence FROM papayya.finding"
ITEMS = "SELECT key, state, outcome, cost_nusd FROM papayya.item ORDER BY key"


@dataclass(frozen=True, slots=True)
class Call:
    """A row of a call; tokens None: not known."""

    state: str
    item: str
    model: str
    cost_nusd: int | None
    output: int | None
    prompt: int | None

    @property
    def bill(self) -> tuple[Any, ...]:
        """What was paid for."""
        return self.model, self.prompt, self.output, self.cost_nusd


@dataclass(frozen=True, slots=True)
class World:
    """A place where programs run."""

    dsn: str
    folder: Path
    stand_in: Program

    @property
    def env(self) -> dict[str, str]:
        """What the frameworks' users set."""
        url = f"http://127.0.0.1:{(self.folder / 'port').read_text().strip()}"
        return {
            "ANTHROPIC_API_KEY": "sk-ant-stand-in",
            "ANTHROPIC_BASE_URL": url,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else its import asks the network
            "OPENAI_API_BASE": f"{url}/v1",
            "OPENAI_API_KEY": "sk-stand-in",
            "OPENAI_BASE_URL": f"{url}/v1",
            "PAPAYYA_DATABASE_URL": self.dsn,
            "PYTHONWARNINGS": "ignore",
        }

    def program(self, environment: str, *arguments: str, name: str, **env: str) -> Program:
        """Prepare a Python program in an environment; its name is that of its log."""
        return Program([python(environment), *arguments], self.folder, name, {**self.env, **env})

    def drive(self, environment: str, name: str, *arguments: str, code: int) -> Any:
        """Run a program inside an agent to its end; return what it said."""
        words = [str(HERE / "drive.py"), name, *arguments]
        log = f"{name}{len(list(self.folder.glob(f'{name}*.log')))}"
        program = self.program(environment, *words, name=log, PAPAYYA_RUN_ID=name)
        program.start(lambda: True)
        assert program.popen is not None
        program.until(lambda: not program.running, "it ends", PATIENCE_S)
        assert program.popen.returncode == code, program.tail()
        return json.loads(next(row for row in program.said().splitlines() if row[:1] == "{"))

    def ledger(self) -> list[Entry]:
        """Return what the stand-in was asked, all of it."""
        return read(self.folder / "ledger.jsonl")

    def calls(self, state: str) -> list[Call]:
        """Return the calls in a state, in order."""
        return [each for each in map(self._call, self.query(CALLS)) if each.state == state]

    @staticmethod
    def _call(row: tuple[Any, ...]) -> Call:
        state, item, model, cost, output, prompt = row
        return Call(state, item, model, cost, output, prompt)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask Postgres."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    def papayya(self, *words: str) -> str:
        """Run the command line; return what it prints."""
        done = CliRunner().invoke(cli, words)
        assert done.exit_code == 0, done.output
        return done.output


def bills(entries: list[Entry]) -> list[tuple[Any, ...]]:
    """What the stand-in billed, in the form of `Call.bill`."""
    assert {entry.status for entry in entries} == {200}
    return [(e.model, e.prompt_tokens, e.output_tokens, e.cost_nusd) for e in entries]


def python(environment: str) -> str:
    """Name the interpreter of an environment; skip where nobody made it."""
    found = ROOT / f".venv-{environment}" / "bin" / "python"
    if not found.exists():
        pytest.skip(f"no {found}; tools/clients.sh makes it")
    return str(found)


@contextmanager
def world(dsn: str, folder: Path) -> Iterator[World]:
    """Start a stand-in, and tell its prices to the database."""
    server = [sys.executable, "-m", "papayya_core.fake_provider"]
    asked = subprocess.run([*server, "--prices"], capture_output=True, check=True)
    (folder / "prices.json").write_bytes(asked.stdout)
    server += ["--port-file", str(folder / "port"), "--ledger", str(folder / "ledger.jsonl")]
    stand_in = Program(server, folder, "stand_in")
    stand_in.start((folder / "port").exists)
    made = World(dsn, folder, stand_in)
    try:
        made.papayya("prices", "import", str(folder / "prices.json"))
        yield made
    finally:
        stand_in.kill_group()
