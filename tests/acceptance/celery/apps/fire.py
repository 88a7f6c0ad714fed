"""An app whose workers are killed, and whose brokers and databases forget."""

from __future__ import annotations

import functools
import os
import signal
import time
from pathlib import Path
from typing import Any

from celery import Celery

import papayya_celery
from papayya import run
from tests.acceptance.celery.apps import places

FOLDER = Path(os.environ["FIRE_FOLDER"])

app = Celery("fire", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])
app.conf.update(worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)
app.conf.update(result_expires=float(os.environ.get("FIRE_RESULT_EXPIRES", "3600")))
if app.conf.broker_url.startswith("amqp"):
    app.conf.broker_transport_options = {"confirm_publish": True}
elif "FIRE_VISIBILITY" in os.environ:
    app.conf.broker_transport_options = {
        "visibility_timeout": float(os.environ["FIRE_VISIBILITY"]),
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    }
task = functools.partial(app.task, shared=False)  # pytest imports this module more than once
ADMISSION = int(os.environ.get("FIRE_ADMISSION", "0")) or None
papayya_celery.install(app, item="name", recover={"fire.once": False}, admission=ADMISSION)

if "FIRE_DEADLY" in os.environ:
    places.instrument()


def reach(place: str, name: str) -> None:
    """Be at a place of a body, where this process may die or wait."""
    if "FIRE_DEADLY" in os.environ:
        places.reach(place, name)


def pay(name: str, label: str) -> str:
    """Buy an answer; the ledger has a line for each that was bought."""
    ledger = os.open(FOLDER / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(ledger, f"{name} {label} {os.getpid()}\n".encode())
    os.close(ledger)
    return f"{name}.{label}"


@task(name="fire.work")
def work(name: str) -> str:
    """Pay twice."""
    run.task("first", pay, name, "first")
    reach("body", name)
    run.task("second", pay, name, "second")
    return name


def buy_one(name: str) -> None:
    """Pay a cent."""
    pay(name, "buy")
    run.cost(usd="0.01")


@task(name="fire.buy")
def buy(name: str) -> str:
    """Pay a cent, if the budget has one left."""
    run.task("buy", buy_one, name, max_cost="0.01")
    reach("body", name)
    return name


@task(name="fire.gather")
def gather(parts: list[str], name: str) -> list[str]:
    """Take the results of a chord, and pay once."""
    run.task("gather", pay, name, "gather")
    reach("body", name)
    return parts


@task(name="fire.echo")
def echo(value: Any, name: str) -> Any:
    """Be a link: pay once."""
    run.task("echo", pay, name, "echo")
    return value


@task(name="fire.again", bind=True, max_retries=3)
def again(self: Any, name: str, countdown: float = 0) -> str:
    """Pay, be tried again once, and pay for the rest."""
    run.task("first", pay, name, "first")
    if self.request.retries == 0:
        raise self.retry(countdown=countdown)
    run.task("second", pay, name, "second")
    return name


@task(name="fire.light")
def light(name: str) -> str:
    """Do next to nothing."""
    reach("body", name)
    return name


@task(name="fire.once")
def once(name: str) -> str:
    """Have a body that must not run twice."""
    pay(name, "once")
    reach("body", name)
    return name


@task(name="fire.poison")
def poison(name: str) -> str:
    """Kill the worker, each time."""
    pay(name, "poison")
    os.kill(os.getpid(), signal.SIGKILL)
    return name


@task(name="fire.forgive")
def forgive(task_id: str, *, name: str) -> None:
    """Be an errback: pay once."""
    run.task("forgive", pay, name, "forgive")


@task(name="fire.slow")
def slow(name: str, seconds: float) -> str:
    """Take a while."""
    pay(name, "slow")
    reach("body", name)
    time.sleep(seconds)
    return name
