"""An app whose tasks are paused, throttled, retried and killed, each once, as their plan says.

What was paid for is a line in a file; so is each start of a callback. Without PAPAYYA_LINE the app
is as it was before it heard of us.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from celery import Celery
from kombu import Exchange, Queue

import papayya
from papayya_core import context
from papayya_core.store import acts

FOLDER = Path(os.environ["FOLDER"])
LINE = os.environ.get("LINE", "1") == "1"

app = Celery("parked", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])
app.conf.update(worker_prefetch_multiplier=1, result_extended=True, result_chord_retry_interval=0.1)
app.conf.update(broker_transport_options={"confirm_publish": True})
app.conf.update(task_serializer=os.environ.get("SERIALIZER", "json"))
app.conf.update(accept_content=["json", "pickle"], worker_send_task_events=True)
app.conf.task_queues = [
    Queue("celery"),
    Queue("other"),
    Queue("topical", Exchange("subjects", type="topic"), routing_key="a.#"),
]
if LINE:
    import papayya_celery

    papayya_celery.install(
        app, tenant="tenant", item="name", run="run", pump=os.environ.get("PUMP") == "1"
    )


def note(file: str, line: str) -> None:
    """Add a line to a file, whoever else does."""
    with (FOLDER / file).open("a") as out:
        out.write(line + "\n")


def pay(name: str) -> str:
    """Do what costs money."""
    note("paid", name)
    return name


def step(label: str, fn: Callable[..., Any], *args: Any) -> Any:
    """Run a step, or the plain function where we were never installed."""
    return papayya.run.task(label, fn, *args) if LINE else fn(*args)


def is_first(name: str, what: str) -> bool:
    """Tell whether this happens for the first time; it does once."""
    try:
        (FOLDER / f"{what}-{name}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def meet(task: Any, name: str, plan: str) -> None:
    """Let happen what is planned for a task, each word of it once."""
    for word in plan.split(","):
        if word != "go" and is_first(name, word):
            happen(task, name, word)
    step("look around", int)  # here it learns of a pause; the step after it is where it parks


def happen(task: Any, name: str, plan: str) -> None:
    """Let one thing happen."""
    if plan == "pause":
        pause_this()
    elif plan == "code":
        raise papayya.Paused("somebody has to look")
    elif plan == "throttle":
        raise papayya.Throttled("the provider asks for it", delay=3600)
    elif plan == "busy provider":
        step("ask", answer_429)
    elif plan == "retry":
        raise task.retry(countdown=0)
    elif plan == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif plan == "error":
        raise RuntimeError("it fails once")
    elif plan == "gate":
        wait_for(FOLDER / f"go-{name}")


class TooMany(Exception):
    """A provider's 429 that asks for an hour, shaped as the clients raise it."""

    status_code = 429

    class response:  # noqa: N801
        """The provider's answer."""

        headers: ClassVar = {"retry-after": "3600"}


def answer_429() -> None:
    """Be turned away by a provider, once."""
    if is_first("provider", "busy"):
        raise TooMany


def pause_this() -> None:
    """Pause the item that runs here, as somebody might do by hand just now."""
    execution = context.current()
    assert execution is not None
    with psycopg.connect(os.environ["PAPAYYA_DATABASE_URL"], autocommit=True) as connection:
        acts.pause(connection, items=[execution.item_id])


def wait_for(path: Path) -> None:
    """Wait until somebody touches a file."""
    while not path.exists():
        time.sleep(0.005)


@app.task(bind=True, max_retries=3)
def work(self: Any, *before: Any, name: str, plan: str = "go", tenant: str | None = None) -> Any:
    """Pay for a name, meet what is planned, and put the name to what came before."""
    note("tries", f"{name} {self.request.retries}")
    step("pay", pay, name)
    meet(self, name, plan)
    return step("join", lambda: [*flat(before), name])


@app.task(bind=True)
def gather(
    self: Any, parts: Any, name: str = "all", plan: str = "go", tenant: str | None = None
) -> Any:
    """Follow from others: name them in order, and count how often this was begun and ended."""
    note("begun", name)
    step("pay", pay, name)
    meet(self, name, plan)
    step("join", note, "gathered", name)
    return flat([parts])


@app.task
def heard(result: Any, name: str) -> None:
    """Be a link: hear of a result."""
    note("heard", f"{name} {result}")


@app.task
def missed(request: Any, error: BaseException, _: Any, name: str) -> None:
    """Be an errback: hear of a failure."""
    note("missed", f"{name} {error}")


@app.task(bind=True, max_retries=3)
def fail(self: Any, name: str, plan: str = "go", tenant: str | None = None) -> None:
    """Pay for a name, meet what is planned, and fail."""
    step("pay", pay, name)
    meet(self, name, plan)
    step("join", lambda: None)
    raise ValueError(name)


@app.task(bind=True, max_retries=3)
def pair(self: Any, left: str, plan: str) -> str:
    """Be an element of map, starmap or chunks, whose message is one item."""
    step("pay", pay, left)
    meet(self, left, plan)
    return str(step("join", lambda: left))


@app.task
def single(left: str) -> str:
    """Be an element of map."""
    name, _, plan = left.partition(":")
    return str(pair.run(name, plan or "go"))


@app.task(bind=True)
def look(self: Any, *args: Any, name: str) -> str:
    """Note all that a body can see of its request, but what differs from one delivery to another."""
    step("pay", pay, name)
    request = {key: value for key, value in vars(self.request).items() if key not in UNEQUAL}
    request["delivery_info"] = {**request["delivery_info"], "redelivered": None}
    request["headers"] = {k: v for k, v in (request["headers"] or {}).items() if k != "papayya"}
    properties = sorted({*self.request.properties} - {"expiration"})  # see test_expiry
    seen = {"request": request, "args": args, "properties": properties}
    note(f"looks-{name}", json.dumps(seen, default=repr).replace(self.request.id, "its-id"))
    return name


UNEQUAL = {
    "papayya",
    "_papayya",
    "hostname",
    "properties",
    "expires",
    "_children",
    "called_directly",
}


def flat(parts: Any) -> list[Any]:
    """List what lies in nested lists, in order."""
    if not isinstance(parts, list | tuple):
        return [parts]
    return [leaf for part in parts for leaf in flat(part)]
