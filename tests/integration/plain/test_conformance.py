"""Plain Python passes the suite that every carrier must pass, in threads and in coroutines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from papayya import agent, configure, run
from papayya_core import context, runtime
from papayya_core.settings import Settings
from papayya_core.testing.conformance import (
    AGENT,
    RUN,
    SETTINGS,
    CarrierConformance,
    Work,
    abody,
    body,
)

LOSE = "UPDATE papayya.dispatch SET locked_until = now() - interval '1 s' WHERE id = %s"


class Host:
    """The workload's view of plain Python."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.task = run.task
        self.cost = run.cost

    def lose_worker(self) -> None:
        """Let another worker find that this one's lease has run out."""
        execution = context.current()
        assert execution is not None
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(LOSE, [execution.fence])
            connection.execute("SELECT papayya.sweep_v1('{}', 5, 10)")


class InPlainPython(CarrierConformance):
    """What both ways share."""

    def function(self, dsn: str) -> Any:
        """Make the agent."""
        raise NotImplementedError

    def carry(self, dsn: str, works: Sequence[Work]) -> None:
        """Map the agent over the inputs in a process of its own."""
        configure(Settings.load({}, database_url=dsn, **SETTINGS))
        tenants = {work.key: work.tenant for work in works}
        try:
            with run("conformance", run_id=RUN):
                values = [work.value for work in works]
                results = list(
                    self.function(dsn).map(
                        values, item="key", tenant=lambda value: tenants[value["key"]]
                    )
                )
            assert len(results) == len(works)
        finally:
            runtime.runtime().close()
            runtime._runtime = None


class TestThreads(InPlainPython):
    """An agent that is a function."""

    def function(self, dsn: str) -> Any:
        """Make the agent."""

        @agent(name=AGENT)
        def work(value: dict[str, str]) -> str:
            return body(value, Host(dsn))

        return work


class TestCoroutines(InPlainPython):
    """An agent that is a coroutine function."""

    def function(self, dsn: str) -> Any:
        """Make the agent."""

        @agent(name=AGENT)
        async def work(value: dict[str, str]) -> str:
            return await abody(value, Host(dsn))

        return work
