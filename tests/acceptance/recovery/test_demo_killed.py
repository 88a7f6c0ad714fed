"""The demo, killed ten times: the audit it ends with is the stand-in's ledger."""

from __future__ import annotations

import json
import os
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from papayya_core.fake_provider.book import Entry, read
from papayya_core.testing.servers import throwaway_home
from tests.acceptance.recovery.processes import ROOT, Process, until

DEMO = str(ROOT / "examples" / "tag_tickets" / "tag_tickets.py")
PAPAYYA = str(Path(sys.executable).with_name("papayya"))
ITEMS, KILLS, FLAGGED = 400, 10, 3
FOREIGN = ("OPENAI_", "ANTHROPIC_", "PAPAYYA_")


@dataclass(slots=True)
class Demo:
    """A home for one run of the demo."""

    home: Path
    logs: Path
    started: int = 0

    def launch(self, *command: str) -> Process:
        """Start a program as somebody who has set nothing but PAPAYYA_HOME."""
        env = {name: v for name, v in os.environ.items() if not name.startswith(FOREIGN)}
        self.started += 1
        log = self.logs / f"process-{self.started}"
        return Process(list(command), env | {"PAPAYYA_HOME": str(self.home)}, log)

    def start(self) -> Process:
        """Start the demo, always for the same run."""
        return self.launch(sys.executable, DEMO, f"--n={ITEMS}", "--run-id=killed")

    def ask(self, *arguments: str) -> Any:
        """Ask the command line for a JSON document."""
        return json.loads(self.launch(PAPAYYA, *arguments, "--json").succeed().said)

    def asked(self) -> list[Entry]:
        """List the requests so far."""
        ledger = self.home / "tag_tickets" / "killed" / "ledger.jsonl"
        return read(ledger) if ledger.exists() else []


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """Make a home, with the embedded Postgres that the demo starts in it."""
    with throwaway_home() as home:
        yield Demo(home, tmp_path)


def kill_after(demo: Demo, requests: int) -> None:
    """Start the demo and kill it when it has sent so many requests more."""
    before = len(demo.asked())
    process = demo.start()
    try:
        until(lambda: len(demo.asked()) >= before + requests, f"{requests} requests")
        assert process.popen.poll() is None, process.complained
    finally:
        process.kill()


@pytest.mark.timeout(600)  # eleven starts of the demo, some 20 s each
def test_the_audit_is_the_ledger(demo: Demo) -> None:
    """After ten kills at random moments, audit and ledger differ by listed extra payments alone."""
    dice = random.Random("kills")
    for _ in range(KILLS):
        kill_after(demo, dice.randrange(20, 34))
    process = demo.start().succeed()
    assert f"✓ {ITEMS - FLAGGED} done · {FLAGGED} flagged" in process.said
    report = demo.ask("audit", "killed")
    assert (report["explained"], report["dropped"]) == (True, 0)
    assert report["totals"]["submitted"] == ITEMS
    lost = Counter(one["key"] for one in report["lost_deliveries"])
    booked = {each["key"]: each["cost_nusd"] for each in items(demo)}
    bills = bills_by_item(demo.asked())
    assert booked.keys() == bills.keys()
    extra = {key: surplus(bills[key], booked[key], lost[key]) for key in bills}
    billed = sum(map(sum, bills.values()))
    assert billed == report["cost_nusd"] + sum(map(sum, extra.values()))
    assert billed <= report["cost_nusd"] + report["uncertain_nusd"] + report["pending_nusd"]


def items(demo: Demo) -> list[dict[str, Any]]:
    """List all items of the run."""
    listed: list[dict[str, Any]] = demo.ask("items", "--run=killed", f"--limit={ITEMS}")["items"]
    assert len(listed) == ITEMS
    return listed


def bills_by_item(asked: list[Entry]) -> dict[str, list[int]]:
    """Collect what was billed for each item, in nano-dollars."""
    bills: dict[str, list[int]] = defaultdict(list)
    for entry in asked:
        if entry.ordinal:
            bills[str(entry.item_key)].append(entry.cost_nusd)
    return bills


def surplus(bills: list[int], booked: int, lost: int) -> tuple[int, ...]:
    """Find the bills that were not booked; there are no more of them than lost deliveries."""
    for number in range(lost + 1):
        for some in combinations(bills, number):
            if sum(bills) - sum(some) == booked:
                return some
    raise AssertionError(f"{booked} are booked of {bills}, with {lost} lost deliveries")
