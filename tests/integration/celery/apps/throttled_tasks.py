"""An app whose tasks come upon a provider's limit, and make of it what people's tasks do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from celery import Celery, Task

import papayya_celery

FOLDER = Path(os.environ["FOLDER"])

app = Celery("throttled", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])
app.conf.update(worker_prefetch_multiplier=1)
papayya_celery.install(app, tenant="tenant", item="name", pump=os.environ.get("PUMP") == "1")


class RateLimitError(Exception):
    """A provider's 429, shaped as the clients raise it."""

    status_code = 429

    class response:  # noqa: N801
        """The provider's answer."""

        headers: ClassVar = {"retry-after": "0.01"}


def tries(name: str) -> int:
    """Count the starts of a body."""
    path = FOLDER / f"tries-{name}"
    return len(path.read_text().splitlines()) if path.exists() else 0


def ask(task: Any, name: str, refusals: int, error: type[Exception] = RateLimitError) -> str:
    """Ask a provider that refuses the first times; note what Celery counts."""
    with (FOLDER / f"tries-{name}").open("a") as out:
        out.write(f"{task.request.retries}\n")
    if tries(name) <= refusals:
        raise error(f"{name} is refused")
    return f"{name} after {task.request.retries} retries"


@app.task(bind=True, max_retries=2)
def plain(self: Any, name: str, refusals: int) -> str:
    """Let the error out."""
    return ask(self, name, refusals)


@app.task(bind=True, autoretry_for=(Exception,), max_retries=2, default_retry_delay=0)
def automatic(self: Any, name: str, refusals: int) -> str:
    """Leave it to Celery."""
    return ask(self, name, refusals)


@app.task(bind=True, autoretry_for=(RateLimitError,), max_retries=2, retry_backoff=1)
def backing_off(self: Any, name: str, refusals: int) -> str:
    """Leave it to Celery, more politely."""
    return ask(self, name, refusals)


@app.task(bind=True, max_retries=2, default_retry_delay=0)
def by_hand(self: Any, name: str, refusals: int) -> str:
    """Try again by hand, after whatever error."""
    try:
        return ask(self, name, refusals)
    except RateLimitError as error:
        raise self.retry(exc=error) from error


@app.task(bind=True, max_retries=2, default_retry_delay=0)
def without_throwing(self: Any, name: str, refusals: int) -> str:
    """Try again by hand, and tidy up before it."""
    try:
        return ask(self, name, refusals)
    except RateLimitError as error:
        again = self.retry(exc=error, throw=False)
        raise again from error


@app.task(bind=True, max_retries=2, default_retry_delay=0)
def otherwise(self: Any, name: str, refusals: int, model: str = "large") -> str:
    """Try again with other arguments, which makes it another message."""
    try:
        return model + " " + ask(self, name, refusals)
    except RateLimitError as error:
        raise self.retry(
            exc=error, kwargs={"name": name, "refusals": refusals, "model": "small"}
        ) from error


@app.task(bind=True, max_retries=2)
def later(self: Any, name: str, refusals: int) -> str:
    """Try again by hand, in an hour."""
    try:
        return ask(self, name, refusals)
    except RateLimitError as error:
        raise self.retry(exc=error, countdown=3600) from error


class Own(Task):  # type: ignore[type-arg]
    """A base with a __call__ of its own."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do what any task does."""
        return super().__call__(*args, **kwargs)


@app.task(bind=True, base=Own, autoretry_for=(RateLimitError,), max_retries=2)
def own_call(self: Any, name: str, refusals: int) -> str:
    """Be of a class of one's own."""
    return ask(self, name, refusals)


@app.task(bind=True, max_retries=2, default_retry_delay=0)
def flaky(self: Any, name: str, refusals: int) -> str:
    """Try again after something that is no rate limit."""
    try:
        return ask(self, name, refusals, OSError)
    except OSError as error:
        raise self.retry(exc=error) from error
