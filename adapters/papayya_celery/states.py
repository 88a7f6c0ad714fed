"""What Celery shows of an item that left the broker: a state in the backend, and an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import states
from celery.backends.base import DisabledBackend

from papayya_core import redaction
from papayya_core.errors import ItemFailed

if TYPE_CHECKING:
    from celery import Task

    from papayya_core.contract import ItemResult

logger = redaction.logger("papayya.celery")

PAUSED = "PAUSED"
WAITING = "WAITING"
_SHOWN = {"paused": PAUSED, "waiting": WAITING, "queued": PAUSED}
_ENDS = {"completed": states.SUCCESS, "failed": states.FAILURE, "cancelled": states.REVOKED}


def show_parked(task: Task[..., Any], request: Any, state: str, reason: str) -> None:
    """Show that a task is parked: ``AsyncResult.state``, and an event for Flower and the like.

    Written before Postgres knows, so that it cannot overwrite the result of a fast resume.
    """
    shown = _SHOWN.get(state, PAUSED)
    if request.is_eager:
        return
    try:
        if not _ignores_result(task, request):
            task.backend.store_result(request.id, {"reason": reason}, shown, request=request)
        # not request.send_event: the event names the task by itself
        task.send_event(f"task-{shown.lower()}", reason=reason)
    except Exception:
        logger.exception("the state %s of task %s could not be shown", shown, request.id)


def show_revoked(task: Task[..., Any], request: Any, reason: str) -> None:
    """Show that a task was cancelled, as Celery's own revoke does; chords and groups learn it."""
    if request.is_eager:
        return
    stores = not _ignores_result(task, request)
    if stores and task.AsyncResult(request.id).state in (PAUSED, WAITING):
        # to monitors a state of ours ranks above REVOKED; only after RETRY comes whatever is next
        task.send_event("task-retried", exception=reason)
    task.backend.mark_as_revoked(request.id, reason, request=request, store_result=stores)
    task.send_event("task-revoked", terminated=False, signum=None, expired=False)


def show_end_again(task: Task[..., Any], request: Any, result: ItemResult) -> None:
    """Show an end that RETRY or our own states were written over: it may come before them."""
    shown = _ENDS.get(result.state)
    if shown is None or result.error is not None or is_known(task, request):
        return
    reason = result.reason or result.state
    what = {states.SUCCESS: result.output, states.FAILURE: ItemFailed(reason)}
    task.backend.store_result(request.id, what.get(shown), shown, request=request)


def is_known(task: Task[..., Any], request: Any) -> bool:
    """Tell whether the backend already has the end of a task."""
    if request.is_eager or _ignores_result(task, request):
        return True
    if isinstance(task.backend, DisabledBackend):  # it cannot even be asked
        return True
    return bool(task.AsyncResult(request.id).ready())


def _ignores_result(task: Task[..., Any], request: Any) -> bool:
    own = getattr(request, "ignore_result", None)
    return bool(task.ignore_result if own is None else own)
