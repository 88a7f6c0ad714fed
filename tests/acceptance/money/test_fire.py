"""A little of caps under fire; `make caps` has 64 workers and 10,000 items of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.acceptance.money.conftest import Unleash
from tests.chaos.budget_chaos import Plan, cap, run

SMALL = Plan(items=40, cap="0.5", programs=2, slots=8, samples=18, kills=1)
RUN = Plan(items=200, cap="0.8", raises=("1.2", "1.5", "3"), programs=1, samples=7, kills=1)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bounded", [True, False])
def test_cap(unleash: Unleash, bounded: bool) -> None:
    """Killed workers pass a cap by nothing, or by one call without a bound; no hold is stuck."""
    report = unleash(cap, replace(SMALL, bounded=bounded))
    assert report.requests > 10
    assert report.kills == 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize("carrier", ["plain", "celery"])
def test_run(unleash: Unleash, carrier: str) -> None:
    """A run whose budget is raised three times ends complete, each item done and paid once."""
    report = unleash(run, replace(RUN, carrier=carrier, slots=16 if carrier == "plain" else 8))
    assert report.pauses[-1].completed == RUN.items
    assert len(report.pauses) == 3
