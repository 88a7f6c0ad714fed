"""The app of the benchmark: a task that does nothing, bare or with Papayya installed."""

from __future__ import annotations

import os

from celery import Celery

import papayya_celery

app = Celery(
    "celery_app", broker=os.environ["BENCH_BROKER"], backend=os.environ.get("BENCH_RESULTS")
)
app.conf.task_acks_late = True  # what Papayya forces, so that both do the same
app.conf.worker_hijack_root_logger = False
if os.environ.get("BENCH_PAPAYYA"):
    papayya_celery.install(app, tenant="tenant", item="doc")


@app.task(name="bench.nothing")
def nothing(doc: int, tenant: str) -> int:
    """Return what it got."""
    return doc
