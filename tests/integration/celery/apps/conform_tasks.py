"""The workload that every carrier must make the same rows of, as a Celery task."""

from __future__ import annotations

import os
import signal

import psycopg
from celery import Celery

import papayya_celery
from papayya import run
from papayya_core import context
from papayya_core.runtime import runtime
from papayya_core.testing.conformance import AGENT, body

LOSE = "UPDATE papayya.dispatch SET locked_until = now() - interval '1 s' WHERE id = %s"

app = Celery("conform", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])
app.conf.broker_transport_options = {"max_connections": 100}
papayya_celery.install(app, pump=False)


class Host:
    """The workload's view of Celery."""

    def __init__(self) -> None:
        self.task = run.task
        self.cost = run.cost

    def lose_worker(self) -> None:
        """Die, where that is one task's death; else let another find that the lease ran out."""
        if os.environ["POOL"] == "prefork":
            os.kill(os.getpid(), signal.SIGKILL)
        execution = context.current()
        assert execution is not None
        with psycopg.connect(runtime().dsn, autocommit=True) as connection:
            connection.execute(LOSE, [execution.fence])
            connection.execute("SELECT papayya.sweep_v1('{}', 5, 10)")


@app.task(name=AGENT)
def conform(value: dict[str, str]) -> str:
    """Do one item."""
    return body(value, Host())
