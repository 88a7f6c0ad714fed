"""A little chaos; `make chaos` has the long one, and the one on RabbitMQ."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.celery_chaos import Plan, unleash


def test_chaos(tmp_path: Path) -> None:
    """Killed workers, a flushed broker and a killed Postgres lose, double and spoil nothing."""
    report = unleash(Plan(items=150, seconds=15, workers=2, concurrency=2), tmp_path)
    assert report.items == 150
    assert report.killed["flushed"] == report.killed["postgres"] == 1
