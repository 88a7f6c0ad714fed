"""Sentry's and OpenTelemetry's integrations beside us, installed before or after us."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.support.celery_worker import ROOT, StartWorker

APP = Path(__file__).parent / "apps" / "neighbour_tasks.py"
TASK = "neighbour_tasks.tag"
PUBLISH = """
import json
from opentelemetry import trace
import sentry_sdk
import neighbour_tasks
said = {}
for fate in ("fine", "boom", "park"):
    with trace.get_tracer("test").start_as_current_span("caller") as span, sentry_sdk.start_transaction(name="caller"):
        result = neighbour_tasks.tag.delay(doc=fate, tenant="acme", fate=fate)
    value = result.get(timeout=30, propagate=False)
    here = f"{span.get_span_context().trace_id:032x}"
    said[fate] = {"here": here, "there": value if isinstance(value, dict) else repr(value)}
print(json.dumps(said))
"""
ITEMS = """
SELECT key, tenant, state::text, outcome::text, steps, deliveries FROM papayya.item_now ORDER BY key
"""


class Told(NamedTuple):
    """What publisher, neighbours and books say of three tasks: fine, failed, and parked once."""

    said: dict[str, Any]
    notes: dict[str, list[dict[str, Any]]]
    items: list[tuple[Any, ...]]


@pytest.fixture(params=["before", "after"])
def told(
    request: pytest.FixtureRequest,
    papayya_database: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    celery_worker: StartWorker,
) -> Told:
    """Publish and work with the others installed before us, or after us."""
    facts = {"ORDER": request.param, "FOLDER": str(tmp_path)}
    facts |= {"BROKER_URL": redis_url, "RESULT_URL": redis_url}
    facts |= {"PAPAYYA_LEASE_SECONDS": "4", "PAPAYYA_HEARTBEAT_SECONDS": "1"}
    for name, value in facts.items():
        monkeypatch.setenv(name, value)
    worker = celery_worker(APP)
    path = os.pathsep.join([str(APP.parent), str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", PUBLISH]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stderr}\n{worker.program.tail()}"
    with psycopg.connect(papayya_database) as connection:
        items = connection.execute(ITEMS).fetchall()
    worker.stop()
    notes = {file: _read(tmp_path / file) for file in ("paid", "events", "transactions", "spans")}
    return Told(json.loads(done.stdout.splitlines()[-1]), notes, items)


def _read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_all_record(told: Told) -> None:
    """Each records what it always did, our rows are right, and trace headers survive parking."""
    assert told.items == [
        ("boom", "acme", "failed", "failed", 1, 1),
        ("fine", "acme", "completed", "ok", 1, 1),
        ("park", "acme", "completed", "ok", 1, 1),
    ]
    assert [note["doc"] for note in told.notes["paid"]] == ["fine", "boom", "park"]
    assert told.notes["events"] == [{"type": "ValueError", "value": "boom"}]
    assert Counter(note["name"] for note in told.notes["transactions"])[TASK] == 4
    spans = Counter(note["name"] for note in told.notes["spans"])
    assert (spans[f"apply_async/{TASK}"], spans[f"run/{TASK}"]) == (3, 4)
    assert told.said["boom"]["there"] == "ValueError('boom')"
    for fate in ("fine", "park"):
        here, there = told.said[fate]["here"], told.said[fate]["there"]
        assert there["trace"] == here
        assert there["traceparent"].split("-")[1] == here
        assert there["sentry-trace"]
