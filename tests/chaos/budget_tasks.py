"""An ordinary Celery app that spends."""

from __future__ import annotations

import os

from celery import Celery

import papayya_celery
from tests.chaos.budget_ask import ask, names

app = Celery("spend", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])
app.conf.update(worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)
papayya_celery.install(app, item="name", tenant=lambda _: "acme")


@app.task(name="cap.spend")
def spend(name: str) -> str:
    """Ask once."""
    return ask(name)


def publish(number: int) -> None:
    """Submit the items as the run that the environment names."""
    from papayya import run

    with run("spend", tenant="acme", budget_usd=os.environ["CAP_USD"], expect=names(number)):
        papayya_celery.submit(spend, [{"name": name} for name in names(number)], ignore_result=True)
