"""Tasks that start other tasks in every way that Celery has."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, Task

import papayya
import papayya_celery

app = Celery("naming", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])
app.conf.update(accept_content=["json", "pickle"], worker_prefetch_multiplier=1)
papayya_celery.install(app, tenant="tenant", item="doc", pump=False)


@app.task
def echo(value: Any, tenant: str | None = None, doc: str | None = None) -> Any:
    """Return what came."""
    return value


@app.task
def kind(value: Any, doc: str | None = None) -> str:
    """Return what kind of thing came."""
    return type(value).__name__


@app.task
def inc(number: int) -> int:
    """Count."""
    return number + 1


@app.task
def total(numbers: list[int]) -> int:
    """Add up."""
    return sum(numbers)


@app.task
def nest(depth: int) -> int:
    """Start itself again, from inside."""
    if depth:
        nest.delay(depth - 1)
    return depth


@app.task(bind=True)
def again(self: Task[..., Any]) -> int:
    """Succeed at the second try."""
    if not self.request.retries:
        raise self.retry(countdown=0)
    return self.request.retries


@app.task(bind=True)
def swap(self: Task[..., Any]) -> Any:
    """Let another task do it."""
    return self.replace(inc.s(41))


@app.task
def boom() -> None:
    """Fail."""
    raise ValueError("boom")


@app.task
def on_error(request: Any, error: Any, traceback: Any) -> None:
    """Learn that a task failed."""


@app.task
def spend(doc: str) -> str:
    """Cost a cent."""
    papayya.run.cost(usd="0.01")
    return doc
