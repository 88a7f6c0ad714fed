"""The delivery that a worker is at, kept on Celery's own request: it outlives the body, so that
what follows from a task (chain, links, callback) is known as its child.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery._state import get_current_worker_task

from papayya_celery import carried
from papayya_celery.carried import Carried
from papayya_core import context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from papayya_core.execution import Execution

_SLOT = "_papayya"
UNLOCK = "celery.chord_unlock"  # asks whether a chord is ready, where its backend cannot tell
_FIRING: ContextVar[str | None] = ContextVar("papayya_celery_cohort", default=None)
_INHERITED: ContextVar[Carried | None] = ContextVar("papayya_celery_inherited", default=None)
_THROWS: ContextVar[bool] = ContextVar("papayya_celery_throws", default=False)


@dataclass(slots=True)
class Delivery:
    """One message in a worker's hand. ``handed``: its item was sent again from inside the body."""

    request: Any
    carried: Carried | None = None
    execution: Execution | None = None
    handed: bool = False
    replaced: bool = False
    untold: int | None = None  # the item whose end Celery has yet to learn


def put(request: Any, delivery: Delivery) -> None:
    """Remember what a worker has in its hand."""
    request.__dict__[_SLOT] = delivery


def of(request: Any) -> Delivery | None:
    """Return what a request was remembered as; None for one that is not ours."""
    found: Delivery | None = request.__dict__.get(_SLOT)
    return found


def current() -> Delivery | None:
    """Return the delivery that this thread's worker is at."""
    task = get_current_worker_task()
    return of(task.request) if task is not None else None


def inherited() -> Carried | None:
    """Return what a message that is published here inherits: from the item, or the message."""
    forced = _INHERITED.get()
    if forced is not None:
        return forced
    execution = context.current()
    if execution is not None:
        return Carried(execution.run.name, execution.tenant, execution.item_id or None)
    task = get_current_worker_task()
    if task is None:
        return None
    delivery = of(task.request)
    found = delivery.carried if delivery else carried.read(task.request.__dict__)
    return found.child() if found else None


@contextmanager
def inheriting(found: Carried) -> Iterator[None]:
    """Publish on behalf of a message that no worker has in its hand."""
    token = _INHERITED.set(found)
    try:
        yield
    finally:
        _INHERITED.reset(token)


@contextmanager
def firing(cohort: str) -> Iterator[None]:
    """Know that what is published here follows from a cohort."""
    token = _FIRING.set(cohort)
    try:
        yield
    finally:
        _FIRING.reset(token)


def fired() -> str | None:
    """Return the cohort that is being completed here: by its last part, or by Celery's poller."""
    task = get_current_worker_task()
    if task is not None and task.name == UNLOCK and task.request.args:
        return str(task.request.args[0])
    return _FIRING.get()


def is_on_behalf() -> bool:
    """Tell whether what is published here may have been published before, by the one it is for."""
    return _INHERITED.get() is not None


def throwing(trace: Callable[..., Any], *, throws: bool) -> Callable[..., Any]:
    """Wrap the tracer of apply(): know whether what the body raises goes to the caller at once."""

    def traced(*args: Any, **kwargs: Any) -> Any:
        token = _THROWS.set(throws)
        try:
            return trace(*args, **kwargs)
        finally:
            _THROWS.reset(token)

    return traced


def throws() -> bool:
    """Tell whether an eager task raises to its caller; Celery then does not try it again."""
    return _THROWS.get()
