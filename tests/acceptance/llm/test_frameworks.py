"""Frameworks' own first examples, inside an agent and inside a Celery task, with no line about us."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.llm.world import FINDINGS, HERE, ITEMS, PATIENCE_S, World, bills, python
from tests.support.celery_fixtures import LoadApp
from tests.support.celery_worker import CeleryWorker

REQUESTS = {
    "openai3": {"langchain": 4, "pydantic_ai": 3},
    "openai2": {"instructor": 3, "litellm": 8, "llama_index": 6, "openai2": 13},
}
FRAMEWORKS = {"openai3": ["langchain", "pydantic_ai"], "openai2": ["instructor", "llama_index"]}
PROGRAMS = [(environment, name) for environment, names in REQUESTS.items() for name in names]
APP = HERE / "apps" / "hello.py"
TOPIC = "bears"


@pytest.mark.parametrize(("environment", "name"), PROGRAMS, ids=[name for _, name in PROGRAMS])
def test_killed_program_pays_once(environment: str, name: str, hello: World) -> None:
    """A program killed after its calls says the same when it runs again, and asks nobody."""
    requests = REQUESTS[environment][name]
    first = hello.drive(environment, name, TOPIC, "--die", code=-signal.SIGKILL)
    paid = hello.ledger()
    assert len(paid) == requests
    assert sorted(each.bill for each in hello.calls("answered")) == sorted(bills(paid))
    assert hello.drive(environment, name, TOPIC, code=0) == first
    assert hello.ledger() == paid
    check(hello, Counter({TOPIC: requests}))


@pytest.mark.parametrize("environment", FRAMEWORKS)
def test_retried_tasks_pay_once(
    environment: str, hello: World, redis_url: str, load_app: LoadApp, monkeypatch: Any
) -> None:
    """Tasks that fail after their calls return the same when Celery tries again, and ask nobody."""
    names = FRAMEWORKS[environment]
    env = {"BROKER_URL": redis_url, "RESULT_URL": redis_url, "HELLO_FOLDER": str(hello.folder)}
    for variable, value in env.items():
        monkeypatch.setenv(variable, value)
    env |= {"HELLO_PROGRAMS": ",".join(names)}
    worker = CeleryWorker(APP, hello.folder, concurrency=1, env={**hello.env, **env})
    worker.program.command[0] = python(environment)
    try:
        worker.start(PATIENCE_S)
        app = load_app(APP)
        sent = {name: app.hello.delay(name=name, topic=TOPIC) for name in names}
        for name, result in sent.items():
            worker.until(result.ready, f"{name} ends", PATIENCE_S)
            assert result.get() == json.loads(Path(hello.folder, name).read_text("utf-8"))
    finally:
        worker.program.kill_group()
    assert sorted(each.bill for each in hello.calls("answered")) == sorted(bills(hello.ledger()))
    check(hello, Counter({name: REQUESTS[environment][name] for name in names}))


def check(hello: World, requests: Counter[str]) -> None:
    """Hold items and calls against the ledger: each call paid once and replayed once."""
    for state in ("answered", "replayed"):
        assert Counter(call.item for call in hello.calls(state)) == requests
    assert {call.cost_nusd for call in hello.calls("replayed")} == {0}
    assert hello.query(FINDINGS) == []
    items = hello.query(ITEMS)
    assert [row[:3] for row in items] == [(key, "completed", "ok") for key in sorted(requests)]
    assert sum(row[3] for row in items) == sum(entry.cost_nusd for entry in hello.ledger()) > 0
    for (run,) in hello.query("SELECT name FROM papayya.run"):
        audit = json.loads(hello.papayya("audit", run, "--json"))
        assert audit["explained"], audit
