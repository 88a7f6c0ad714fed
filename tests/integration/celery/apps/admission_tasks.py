"""An app that lets only so many messages of a tenant to its broker at a time."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery

import papayya_celery
from papayya import run

FOLDER = Path(os.environ["FOLDER"])
MOST = int(os.environ.get("ADMISSION", "3"))

app = Celery("admission", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])
app.conf.update(worker_prefetch_multiplier=1)
papayya_celery.install(
    app,
    tenant="tenant",
    item="name",
    pump=os.environ.get("PUMP") == "1",
    admission=MOST or None,
)


def note(file: str, line: str) -> str:
    """Add a line to a file, whoever else does."""
    with (FOLDER / file).open("a") as out:
        out.write(line + "\n")
    return line


@app.task
def work(name: str, tenant: str, seconds: float = 0.0) -> str:
    """Take a while, and be noted."""
    time.sleep(seconds)
    return str(run.task("note", note, "done", name))


@app.task
def gather(parts: list[str], tenant: str) -> list[str]:
    """Follow a chord."""
    run.task("gather", note, "gathered", f"{len(parts)}")
    return parts


@app.task
def parent(name: str, tenant: str, children: int) -> None:
    """Publish from a worker."""
    for number in range(children):
        work.delay(name=f"{name}-{number}", tenant=tenant)
