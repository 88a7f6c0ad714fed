"""An ordinary Celery app that has never heard of us."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery

app = Celery("bare", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1)
app.conf.update(broker_transport_options={"max_connections": 100})


@app.task
def add(x: int, y: int) -> int:
    """Return the sum."""
    return x + y


@app.task
def pid() -> int:
    """Return the process that runs the task."""
    return os.getpid()


@app.task
def hold(folder: str) -> int:
    """Say who runs this, and go on when told to."""
    place = Path(folder)
    (place / f"held-{os.getpid()}").touch()
    while not (place / "go").exists():
        time.sleep(0.01)
    return os.getpid()
