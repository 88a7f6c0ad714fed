"""What the noisy neighbours run: one call to a model per item, in plain Python and in Celery.

``python -m tests.benchmarks.neighbours_app plain|celery BURST`` submits all items; ``plain`` works
them off as well. Celery workers are given this file as their app. The request says whose it is.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from celery import Celery

if TYPE_CHECKING:
    import openai

NOISY, SMALL, FEW = "noisy", 19, 20
MODEL, OUTPUT = "gpt-5.4-mini", 60
OWN = os.environ.get("BENCH_PAPAYYA", "")
_WORDS = ("invoice", "refund", "parcel", "charged", "twice", "please", "order", "late")

app = Celery("neighbours", broker=os.environ.get("BENCH_BROKER"))
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, task_ignore_result=True)
app.conf.worker_hijack_root_logger = False


@functools.cache
def client() -> openai.OpenAI:
    """Return this process's client."""
    import openai

    return openai.OpenAI(
        base_url=os.environ["BENCH_PROVIDER"], api_key="sk-shared", max_retries=0, timeout=60
    )


def ask(given: tuple[str, int]) -> str:
    """Ask for one item; prompts of one tenant are as long as those of another."""
    tenant, n = given
    text = " ".join(_WORDS[(n + k) % len(_WORDS)] for k in range(20 + n % 40))
    messages: Any = [{"role": "user", "content": f"{tenant} {n}: {text}"}]
    said = client().chat.completions.create(
        model=MODEL, messages=messages, max_tokens=OUTPUT, user=tenant
    )
    return said.id


def items(burst: int) -> Iterator[tuple[str, int]]:
    """List the items in the order in which they are submitted: the burst, then the others'."""
    yield from ((NOISY, n) for n in range(burst))
    for m in range(SMALL):
        yield from ((f"small-{m}", n) for n in range(FEW))


def plain(burst: int) -> None:
    """Work all items off in this process."""
    from papayya import agent

    client()  # its import takes seconds
    asking = agent(name="ask")(ask)
    for _ in asking.map(list(items(burst)), tenant=lambda one: one[0], concurrency=32):
        pass


if OWN.isdecimal():
    import papayya_celery

    papayya_celery.install(app, tenant="tenant", item="name", admission=int(OWN))
    retries: dict[str, Any] = {}
else:
    import openai

    retries = {"autoretry_for": (openai.RateLimitError,), "max_retries": None}
    retries |= {"retry_backoff": True, "retry_backoff_max": 60, "retry_jitter": True}


@app.task(name="ask", shared=False, **retries)
def ask_task(name: str, tenant: str, n: int) -> str:
    """Ask for one item."""
    return ask((tenant, n))


def submit(burst: int) -> None:
    """Publish all items."""
    named = [{"name": f"{t}/{n}", "tenant": t, "n": n} for t, n in items(burst)]
    if OWN.isdecimal():
        papayya_celery.submit(ask_task, named)
        return
    with app.connection_for_write() as connection:
        for one in named:
            ask_task.apply_async(kwargs=one, connection=connection)


if __name__ == "__main__":
    {"plain": plain, "celery": submit}[sys.argv[1]](int(sys.argv[2]))
    sys.stdout.write(f"{time.time()}\n")
