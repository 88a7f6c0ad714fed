"""The example on Celery as its README starts it: Redis, a worker, a provider that keeps books."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from papayya_core.cli.main import cli
from papayya_core.fake_provider.book import read
from tests.support.celery_worker import CeleryWorker
from tests.support.program import Program

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "celery_tickets"
TENANTS, TICKETS = 3, 8
ITEMS = TENANTS * (2 * TICKETS + 1)
TAGGING = """
    SELECT count(*) FROM papayya.dispatch d JOIN papayya.item_now i ON i.id = d.item_id
    WHERE d.ended_at IS NULL AND i.agent = 'tasks.tag'
"""


class Night:
    """A provider, a worker, and a batch that is sent and waited for; its run is `night`."""

    def __init__(self, folder: Path, redis: str, database: str) -> None:
        self.database = database
        self.ledger, port = folder / "ledger.jsonl", folder / "port"
        stand_in = [sys.executable, "-m", "papayya_core.fake_provider", "--port-file", str(port)]
        stand_in += ["--ledger", str(self.ledger), "--latency-ms", "100:300"]
        self.provider = Program(stand_in, folder, "provider")
        self.provider.start(port.exists)
        url = f"http://127.0.0.1:{port.read_text().strip()}/v1"
        env = {"REDIS_URL": redis, "MODEL_URL": url}
        self.worker = CeleryWorker(EXAMPLE / "app.py", folder, env=env)
        self.worker.start()
        batch = ["--night=night", f"--tenants={TENANTS}", f"--tickets={TICKETS}"]
        submit = [sys.executable, str(EXAMPLE / "submit.py"), *batch]
        self.submit = Program(submit, folder, "submit", env)
        self.submit.start(lambda: f"night: {TENANTS} x {TICKETS} tickets" in self.submit.said())

    def count(self, sql: str) -> int:
        """Ask the database for a number."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            row = connection.execute(sql.encode()).fetchone()
        return int(row[0]) if row else 0

    def papayya(self, *words: str) -> str:
        """Run the command line; return what it prints."""
        done = CliRunner().invoke(cli, words)
        assert done.exit_code == 0, done.output
        return done.output

    def reports(self) -> list[str]:
        """Wait for the end of the batch; return what it printed for each tenant."""
        self.submit.until(lambda: not self.submit.running, "all tenants are reported on")
        assert self.submit.popen is not None
        assert self.submit.popen.returncode == 0, self.submit.tail()
        return [line for line in self.submit.said().splitlines() if line.startswith("{")]

    def audit(self) -> dict[str, Any]:
        """Return the audit of the run."""
        report: dict[str, Any] = json.loads(self.papayya("audit", "night", "--json"))
        return report

    def paid(self) -> Counter[str]:
        """Count the answers that the provider billed for each ticket."""
        return Counter(str(one.item_key) for one in read(self.ledger) if one.ordinal)

    def close(self) -> None:
        """End all of it."""
        for program in (self.submit, self.worker.program, self.provider):
            program.kill_group()


@pytest.fixture
def night(tmp_path: Path, redis_url: str, papayya_database: str) -> Iterator[Night]:
    """A batch that is on its way."""
    made = Night(tmp_path, redis_url, papayya_database)
    try:
        yield made
    finally:
        made.close()


def test_killed_children(night: Night) -> None:
    """With its children killed amid paid calls every report comes, and each extra call is explained."""
    night.worker.until(lambda: night.count(TAGGING) == 2, "both children ask the model")
    for child in night.worker.children:
        night.worker.kill_child(child)
    reports = night.reports()
    assert [f"'tickets': {TICKETS}" in line for line in reports] == [True] * TENANTS
    audit = night.audit()
    assert (audit["explained"], audit["dropped_text"]) == (True, "0 silently dropped")
    assert sum(tenant["done"] for tenant in audit["tenants"]) == ITEMS
    lost = Counter(f"{one['tenant']}/{one['key']}" for one in audit["lost_deliveries"])
    paid = night.paid()
    assert len(paid) == TENANTS * TICKETS
    assert 1 <= sum(lost.values()) <= 2
    assert all(number - 1 <= lost[ticket] for ticket, number in paid.items())


def test_paused_night(night: Night) -> None:
    """A paused batch stands still without an error, and goes on to the same end, paid for once."""
    night.worker.until(lambda: night.count(TAGGING) > 0, "the model is being asked")
    night.papayya("pause", "night")
    still = "SELECT count(*) FROM papayya.item WHERE finished_at IS NULL AND state <> 'paused'"
    night.worker.until(lambda: night.count(still) == 0, "all that is open is parked")
    assert "is paused and starts nothing new" in night.papayya("run", "night")
    assert night.submit.running
    night.papayya("resume", "night")
    assert len(night.reports()) == TENANTS
    assert "0 silently dropped" in night.papayya("audit", "night")
    assert set(night.paid().values()) == {1}
