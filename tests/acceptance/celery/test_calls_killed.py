"""Celery tasks without a step that die at their third call: no answer is bought again."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.calls_chaos import Market, Plan
from tests.support.processes import until

PLAN = Plan(items=2, workers=1, concurrency=2, clients="openai")


def test_three_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pays for three, not five, and for the one in flight, which is told to be uncertain."""
    monkeypatch.setenv("MONEY_PATIENCE", "60")
    with ExitStack() as stack:
        market = Market(PLAN, tmp_path, stack)
        market.provider.faults({"kind": "timeout", "match": "/third", "times": 1})
        market.publish(market.app.three)
        until(lambda: market.provider.last() == 6, "third calls", evidence=market.evidence)
        [worker] = market.workers
        worker.kill_child()
        market.wait(1)
        worker.kill_parent()
        worker.start()
        market.wait(2)
        market.quiet()
        books = market.check().books
        assert books is not None
        assert books.states == {"answered": 6, "replayed": 4, "uncertain": 2}
        paid = market.entries()
        lost = [entry.cost_nusd for entry in paid if entry.fault == "timeout"]
        assert (len(paid), len(lost)) == (8, 2)
        assert books.spent + sum(lost) == books.ledger
