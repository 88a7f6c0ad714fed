"""An ordinary Celery app whose tasks are retried, throttled, slow, and paid for."""

from __future__ import annotations

import functools
import os
import random
import time
from pathlib import Path
from typing import Any

from celery import Celery

import papayya_celery
from papayya import Throttled, run

FOLDER = Path(os.environ["CHAOS_FOLDER"])
SLOW_S = float(os.environ["CHAOS_SLOW_SECONDS"])

app = Celery("chaos", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])
app.conf.update(worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)
if app.conf.broker_url.startswith("amqp"):
    app.conf.broker_transport_options = {"confirm_publish": True}
task = functools.partial(app.task, shared=False)  # pytest imports this module more than once
papayya_celery.install(app, item="name")


def pay(name: str, label: str, seconds: float = 0.0) -> str:
    """Buy an answer, which takes a while to arrive; the ledger has a line for each that was bought."""
    ledger = os.open(FOLDER / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(ledger, f"{name} {label} {os.getpid()}\n".encode())
    os.close(ledger)
    time.sleep(seconds)
    return label


@task(name="chaos.member", bind=True, max_retries=None)
def member(self: Any, name: str) -> str:
    """Pay three times; one in ten is tried again, one in ten waits for a limit."""
    luck = random.Random(name)  # the same fate at each delivery
    fate = luck.random()
    run.task("first", pay, name, "first")
    time.sleep(luck.random() * SLOW_S)
    if fate < 0.1 and self.request.retries == 0:
        raise self.retry(countdown=luck.choice([0, 0, 1]))
    if 0.1 <= fate < 0.2 and first_time(name):
        raise Throttled("the provider's limit", 1.0)
    run.task("second", pay, name, "second", luck.random() * SLOW_S)
    run.task("third", pay, name, "third")
    return name


@task(name="chaos.gather")
def gather(parts: list[str], name: str) -> list[str]:
    """End a chord."""
    run.task("gather", pay, name, "gather")
    return parts


def first_time(name: str) -> bool:
    """Tell whether this was not asked before, by any process."""
    try:
        (FOLDER / f"throttled-{name}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
