"""The example with pgvector as its README starts it, on every Postgres at hand that has pgvector."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.llm.world import ITEMS, ROOT, World, bills
from tests.conftest import PG15_DEFAULT, PG15_VARIABLE

SCRIPT = "examples/retrieval/ask.py"
PASSAGES, QUESTIONS = 16, 6
KINDS = "SELECT kind::text, state::text, count(*) FROM papayya.call GROUP BY 1, 2"
PAID = "SELECT sum(cost_nusd) FROM papayya.item"
STEPS = "SELECT kind, state::text, count(*) FROM papayya.step GROUP BY 1, 2"


def servers() -> list[str]:
    """Name the embedded server, and Debian's where the package of the extension is installed."""
    config = Path(os.environ.get(PG15_VARIABLE, PG15_DEFAULT)) / "pg_config"
    if not config.exists():
        return ["pg18"]
    asked = subprocess.run([config, "--sharedir"], capture_output=True, text=True, check=True)
    control = Path(asked.stdout.strip()) / "extension" / "vector.control"
    return ["pg18", "pg15"] if control.exists() else ["pg18"]


def ask(hello: World, *questions: str) -> str:
    """Run the example to its end; return what it printed."""
    command = [sys.executable, SCRIPT, *questions]
    env = {**os.environ, **hello.env, "VECTORS_URL": hello.dsn}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("papayya_postgres", servers(), indirect=True, scope="session")
def test_example(hello: World) -> None:
    """Retrievals, embeddings and answers are recorded and priced, and a second start pays nothing."""
    said = ask(hello)
    assert "Where are fires allowed?" in said
    assert "from bicycles, " in said
    paid = hello.ledger()
    assert len(paid) == PASSAGES + 2 * QUESTIONS
    assert sorted(each.bill for each in hello.calls("answered")) == sorted(bills(paid))
    kinds = {kind: count for kind, state, count in hello.query(KINDS) if state == "answered"}
    assert kinds == {"embedding": PASSAGES + QUESTIONS, "llm": QUESTIONS, "retrieval": QUESTIONS}
    assert hello.query(STEPS) == [("retrieval", "completed", QUESTIONS)]
    assert Counter(row[1:3] for row in hello.query(ITEMS)) == {
        ("completed", "ok"): PASSAGES + QUESTIONS
    }
    assert hello.query(PAID) == [(sum(entry.cost_nusd for entry in paid),)]
    assert ask(hello) == said
    assert hello.ledger() == paid
    ask(hello, "Where is bread ordered?")
    assert len(hello.ledger()) == len(paid) + 2
