"""An app with one task of every shape that people give to Celery tasks."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from celery import Celery, Task, shared_task, signals, states
from celery.backends.redis import RedisBackend
from pydantic import BaseModel

import papayya
import papayya_celery
from papayya_core import context

FOLDER = Path(os.environ["FOLDER"])
SLOW = "slow-to-say-so"


class Slow(RedisBackend):
    """Results of which RETRY is written late: when the retry has already ended."""

    def _set_with_state(self, key: Any, value: Any, state: str) -> Any:
        while state == states.RETRY and SLOW in value:
            if b"SUCCESS" in (self.get(key) or b""):
                (FOLDER / SLOW).touch()
                break
        return super()._set_with_state(key, value, state)  # type: ignore[misc]


RESULTS = f"shape_tasks:Slow+{os.environ['RESULT_URL']}"
app = Celery("shapes", broker=os.environ["BROKER_URL"], backend=RESULTS)


def note(name: str, item: str) -> str:
    """Note that a body ran, and return what it saw."""
    with (FOLDER / "bodies").open("a") as out:
        out.write(f"{name} {item}\n")
    execution = context.current()
    return f"{name} {item} in {execution.shown_key if execution else None}"


def is_first(name: str) -> bool:
    """Tell whether this happens for the first time; it does once."""
    try:
        (FOLDER / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@app.task
def early(doc_id: str, customer_id: str) -> str:
    """Be bound to the app before it hears of us."""
    return note("early", doc_id)


assert early.name == "shape_tasks.early"  # makes it a task at once
papayya_celery.install(
    app,
    tenant="customer_id",
    item="doc_id",
    only=lambda name: not name.startswith("apart."),
    recover={"shape_tasks.fra*": False},
)


class Forgetful(Task):  # type: ignore[type-arg]
    """A base whose hooks call no super()."""

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Do nothing."""

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Do nothing."""

    def after_return(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""


class Calling(Task):  # type: ignore[type-arg]
    """A base with a __call__ that calls super()."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Note the call."""
        note("__call__", kwargs["doc_id"])
        return super().__call__(*args, **kwargs)


class Running(Task):  # type: ignore[type-arg]
    """A base with a __call__ of its own."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Note the call."""
        note("__call__", kwargs["doc_id"])
        return self.run(*args, **kwargs)


@app.task
def plain(doc_id: str, customer_id: str) -> str:
    """Be an ordinary task."""
    return note("plain", doc_id)


@app.task(base=Forgetful)
def forgetful(doc_id: str, customer_id: str) -> str:
    """Have a base whose hooks call no super()."""
    return note("forgetful", doc_id)


@app.task(base=Calling)
def calling(doc_id: str, customer_id: str) -> str:
    """Have a base with a __call__ that calls super()."""
    return note("calling", doc_id)


@app.task(base=Running)
def running(doc_id: str, customer_id: str) -> str:
    """Have a base with a __call__ of its own."""
    return note("running", doc_id)


@app.task(
    bind=True, autoretry_for=(OSError,), max_retries=3, retry_backoff=False, default_retry_delay=0
)
def stubborn(self: Task[..., Any], doc_id: str, customer_id: str) -> str:
    """Fail twice after a paid step."""
    paid = papayya.run.task("pay", note, "paid", doc_id)
    if self.request.retries < 2:
        raise OSError(f"no network, retry {self.request.retries}")
    return f"{paid}, {self.request.retries} retries"


@app.task(bind=True)
def overtaken(self: Task[..., Any], doc_id: str, customer_id: str) -> str:
    """Be retried at once, of which Celery makes a note late."""
    if not self.request.retries:
        raise self.retry(exc=OSError(SLOW), countdown=0)
    return note("overtaken", doc_id)


@shared_task
def shared(doc_id: str, customer_id: str) -> str:
    """Belong to no app."""
    return note("shared", doc_id)


class Classy(Task):  # type: ignore[type-arg]
    """A task that is a class."""

    name = "shape_tasks.classy"

    def run(self, doc_id: str, customer_id: str) -> str:
        """Run."""
        return note("classy", doc_id)


app.register_task(Classy())


@signals.worker_init.connect
def _late(**_: Any) -> None:
    @app.task(name="shape_tasks.late")
    def late(doc_id: str, customer_id: str) -> str:
        """Be known only once a worker starts."""
        return note("late", doc_id)


@app.task
def direct(doc_id: str, customer_id: str) -> str:
    """Call another task as a function."""
    return str(plain(doc_id=doc_id, customer_id=customer_id)) + " by direct"


@app.task(bind=True)
def recursive(self: Task[..., Any], doc_id: str, customer_id: str, depth: int = 2) -> str:
    """Call itself."""
    if depth:
        return f"> {self(doc_id=doc_id, customer_id=customer_id, depth=depth - 1)}"
    return note("recursive", doc_id)


class Doc(BaseModel):
    """An argument."""

    id: str
    pages: int = 1


class Answer(BaseModel):
    """A result."""

    seen: str
    pages: int


@app.task(pydantic=True)
def pydantic(doc: Doc, doc_id: str, customer_id: str) -> Answer:
    """Take and give models."""
    return Answer(seen=note("pydantic", doc.id), pages=doc.pages)


@app.task(typing=False)
def untyped(doc_id: str, customer_id: str, *rest: Any, **more: Any) -> str:
    """Have arguments that Celery does not check."""
    return note("untyped", doc_id)


@app.task(bind=True)
def frail(self: Task[..., Any], doc_id: str, customer_id: str) -> str:
    """Take its worker down, the first time."""
    note("frail", doc_id)
    if is_first(f"frail-{doc_id}"):
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


@app.task(bind=True, papayya_recover=False)
def delicate(self: Task[..., Any], doc_id: str, customer_id: str) -> str:
    """Take its worker down, the first time, and say by itself that it must not run twice."""
    note("delicate", doc_id)
    if is_first(f"delicate-{doc_id}"):
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


@app.task(name="apart.unmanaged")
def unmanaged(doc_id: str, customer_id: str) -> str:
    """Be left alone."""
    return note("unmanaged", doc_id)


@app.task
def double(number: int) -> int:
    """Be an element of a map."""
    return 2 * number


@app.task
def add(one: int, other: int) -> int:
    """Be an element of a starmap."""
    return one + other
