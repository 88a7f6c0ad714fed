"""The README's first program, as it stands there."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

from papayya_core.fake_provider.book import read
from papayya_core.rules import usd
from tests.acceptance.fake_provider.stand_in import StandIn
from tests.unit.docs_pages import ROOT, blocks


def test_first_program_says_what_it_cost(papayya_database: str, tmp_path: Path) -> None:
    """It prints a line for each ticket, with the cost that the provider booked for it."""
    [program] = [block for block in blocks(ROOT / "README.md") if block.file == "tag.py"]
    (tmp_path / "tag.py").write_text(program.text, encoding="utf-8")
    with StandIn(tmp_path) as provider:
        said = run(tmp_path, f"{provider.url}/v1").splitlines()
        billed = [usd(entry.cost_nusd) for entry in read(provider.ledger_path)]
    costs = [Decimal(line.rpartition(" ")[2]) for line in said]
    assert sorted(line.split()[:2] for line in said) == [["t1", "ok"], ["t2", "ok"]]
    assert sorted(costs) == sorted(billed)


def run(folder: Path, provider: str) -> str:
    """Run it as somebody who has set a key, and nothing else but the database."""
    env = {name: v for name, v in os.environ.items() if not name.startswith("OPENAI_")}
    env |= {"OPENAI_BASE_URL": provider, "OPENAI_API_KEY": "sk-none"}
    done = subprocess.run(
        [sys.executable, "tag.py"],
        cwd=folder,
        env=env,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
