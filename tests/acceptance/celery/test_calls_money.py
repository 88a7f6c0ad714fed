"""A little of money under fire; `make money` has 2,000 items of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from papayya_core.fake_provider.faults import KINDS
from tests.chaos.calls_chaos import Plan, unleash

PLAN = Plan(items=80, rate=0.08, workers=1, concurrency=6, children=1, parents=1, postgres=0)


@pytest.mark.timeout(300)
def test_money_under_fire(tmp_path: Path) -> None:
    """With every fault and a kill -9 of a child and a parent, ledger and calls agree exactly."""
    report = unleash(PLAN, tmp_path)
    assert report.killed == {"children": 1, "parents": 1}
    assert report.books is not None
    assert report.books.faults.keys() == KINDS.keys() - {
        "no_credit"
    }  # it parks, for somebody to pay
