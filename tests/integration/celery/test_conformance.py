"""Celery passes the suite that every carrier must pass, in each of its pools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest

import papayya
import papayya_celery
from papayya_core import runtime
from papayya_core.testing.conformance import RUN, SETTINGS, CarrierConformance, Work
from tests.integration.celery.pumping import pumping
from tests.support.celery_fixtures import LoadApp
from tests.support.celery_worker import StartWorker

APP = Path(__file__).parent / "apps" / "conform_tasks.py"
OPEN = "SELECT count(*) FROM papayya.item WHERE finished_at IS NULL"
TIMES = {"lease_seconds": 4, "heartbeat_seconds": 1}


class OnCelery(CarrierConformance):
    """What all pools and brokers share."""

    pool: ClassVar[str]
    broker: ClassVar = "redis_url"

    @pytest.fixture(autouse=True)
    def _way(
        self,
        request: pytest.FixtureRequest,
        monkeypatch: pytest.MonkeyPatch,
        papayya_database: str,
        redis_url: str,
        load_app: LoadApp,
        celery_worker: StartWorker,
    ) -> None:
        monkeypatch.setenv("BROKER_URL", request.getfixturevalue(self.broker))
        monkeypatch.setenv("RESULT_URL", redis_url)
        monkeypatch.setenv("POOL", self.pool)
        for name, value in {**SETTINGS, **TIMES}.items():
            monkeypatch.setenv(f"PAPAYYA_{name.upper()}", str(value))
        runtime.reset()
        self.worker = celery_worker(APP, pool=self.pool)
        self.module = load_app(APP)

    def carry(self, dsn: str, works: Sequence[Work]) -> None:
        """Submit the works, and wait for a worker to end them."""
        tenants = {work.key: work.tenant for work in works}
        with papayya.run("conformance", run_id=RUN):
            results = papayya_celery.submit(
                self.module.conform,
                [{"value": work.value} for work in works],
                tenant=lambda message: tenants[message["value"]["key"]],
                item="value.key",
            )
        assert len(results) == len(works)
        with psycopg.connect(dsn, autocommit=True) as connection, pumping():
            self.worker.until(lambda: not _open(connection), "all items have ended")
        for work, result in zip(works, results, strict=True):
            expected = ValueError if work.key == "fails" else f"{work.key}!!"
            found = result.get(timeout=20, propagate=False)
            assert type(found) is expected if isinstance(expected, type) else found == expected


def _open(connection: psycopg.Connection) -> int:
    found = connection.execute(OPEN).fetchone()
    return int(found[0]) if found else 0


class TestPrefork(OnCelery):
    """Celery's default: a process per task, killed with its task."""

    pool = "prefork"


class TestThreads(OnCelery):
    """A thread per task."""

    pool = "threads"


class TestSolo(OnCelery):
    """One task at a time, in the worker's own process."""

    pool = "solo"


class TestGevent(OnCelery):
    """A greenlet per task."""

    pool = "gevent"


class TestRabbitMQ(OnCelery):
    """The default on another broker."""

    pool = "prefork"
    broker = "amqp_url"
