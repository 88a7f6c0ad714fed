"""Places in Celery's and our own code at which a worker dies or waits when a file says so.

``die-PLACE-NAME`` kills the process that gets there, once; ``hold-PLACE-NAME`` keeps it there.
"""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery._state import get_current_task
from celery.signals import before_task_publish
from kombu.messaging import Producer

from papayya_core.store.store import Store

FOLDER = Path(os.environ["FIRE_FOLDER"])
_name = ""


def reach(place: str, name: str) -> None:
    """Be at a place on behalf of the item of that name."""
    with suppress(FileNotFoundError):
        (FOLDER / f"die-{place}-{name}").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    stop = FOLDER / f"hold-{place}-{name}"
    if stop.exists():
        (FOLDER / f"held-{place}-{name}.{os.getpid()}").touch()
        while stop.exists():
            time.sleep(0.01)


def instrument() -> None:
    """Mark the places; for processes that may die, so never for pytest's."""
    for cls, name, wrapped in (
        (Store, "close", _after(Store.close, "closed")),
        (Store, "hand_over", _after(Store.hand_over, "handed")),
        (Store, "fetch", _around_told(Store.fetch)),
        (Producer, "publish", _around_send(Producer.publish)),
    ):
        setattr(cls, name, wrapped)
    before_task_publish.connect(_note, weak=False)


def _mine() -> str:
    task = get_current_task()
    return str((task.request.kwargs or {}).get("name", "")) if task else ""


def _after(original: Callable[..., Any], place: str) -> Callable[..., Any]:
    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        reach(place, _mine())
        return found

    return wrapped


def _around_told(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def fetch(self: Store, name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "told":
            reach("untold", _mine())
        found = original(self, name, *args, **kwargs)
        if name == "told":
            reach("told", _mine())
        return found

    return fetch


def _note(body: Any, **_: Any) -> None:
    global _name  # noqa: PLW0603 - one thread publishes in these processes
    _name = str(body[1].get("name", ""))


def _around_send(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def publish(self: Any, body: Any, *args: Any, **kwargs: Any) -> Any:
        if "id" not in (kwargs.get("headers") or {}):
            return original(self, body, *args, **kwargs)
        name = _name
        reach("captured", name)
        found = original(self, body, *args, **kwargs)
        reach("sent", name)
        return found

    return publish
