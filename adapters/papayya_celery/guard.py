"""Around the body of a task: open, run, close. The outermost frame around the user's code, inside
Celery's own: what Celery sees of the body is a result, an exception, Retry, Ignore or Reject.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore, Reject

from papayya_celery import carried, deliveries, links, opening, states
from papayya_celery.body import run_body, was_ignored
from papayya_celery.deliveries import Delivery
from papayya_core import context, redaction
from papayya_core.errors import ItemFailed, OutputUnavailable, PapayyaError, StoreUnavailable
from papayya_core.owner import is_dead
from papayya_core.runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Task

    from papayya_celery.apps import Installation
    from papayya_celery.opening import Received

logger = redaction.logger("papayya.celery")
_HELD = "held by "
_BREATH = 2.0  # seconds before a message that cannot be opened comes back at once


def guarded(
    inst: Installation, task: Task[..., Any], run: Callable[..., Any]
) -> Callable[..., Any]:
    """Wrap the body of a task. Calls that Celery did not deliver pass untouched."""

    @functools.wraps(run)
    def body(*args: Any, **kwargs: Any) -> Any:
        request = task.request_stack.top
        if request is None or request.called_directly or deliveries.of(request) is not None:
            return run(*args, **kwargs)
        agent = inst.agent_name(task.name, args, kwargs)
        header = carried.read(request.__dict__)
        if agent is None or runtime().settings.mode == "off":
            return run(*args, **kwargs)
        if header is not None and header.handed_back:
            with context.leaving_alone():
                return run(*args, **kwargs)
        delivery = Delivery(request, header)
        deliveries.put(request, delivery)
        try:
            return _deliver(inst, task, agent, delivery, functools.partial(run, *args, **kwargs))
        except StoreUnavailable as error:
            logger.warning("task %s goes back to its queue: %s", request.id, error)
            raise Reject(str(error), requeue=True) from error

    return body


def _deliver(
    inst: Installation,
    task: Task[..., Any],
    agent: str,
    delivery: Delivery,
    call: Callable[[], Any],
) -> Any:
    request = delivery.request
    if not request.is_eager:
        links.name_links(request)
    received = _open(inst, task, agent, delivery)
    opened = received.opened
    reason = opened.reason or opened.verdict
    match opened.verdict:
        case "go":
            return run_body(task, delivery, received, call)
        case "done" | "failed" | "cancelled":
            return _tell(task, delivery, received)
        case "pause" | "wait" | "drain":
            state = {"pause": "paused", "wait": "waiting"}.get(opened.verdict, "queued")
            states.show_parked(task, request, state, reason)
            result = runtime().engine().results([received.item_id])[received.item_id]
            states.show_end_again(task, request, result)
            raise Ignore(reason)
        case _:  # busy, drop: another copy of the message has the item
            logger.info("task %s is left to another copy of its message: %s", request.id, reason)
            raise Ignore(reason)


def _open(inst: Installation, task: Task[..., Any], agent: str, delivery: Delivery) -> Received:
    """Open the item of a message; while that cannot be done, no task is failed for it."""
    try:
        received = opening.open_item(inst, task, agent, delivery)
        if received.opened.verdict == "busy" and _is_left(received):
            received = opening.open_item(inst, task, agent, delivery, takeover=True)
    except PapayyaError as error:
        logger.error("task %s goes back to its queue: %s", delivery.request.id, error)  # noqa: TRY400
        time.sleep(_BREATH)
        raise Reject(str(error), requeue=True) from error
    return received


def _is_left(received: Received) -> bool:
    """Tell whether the one who holds the item, or was to tell its end, is certainly dead."""
    return is_dead((received.opened.reason or "").removeprefix(_HELD))


def _tell(task: Task[..., Any], delivery: Delivery, received: Received) -> Any:
    """Give Celery the end of an item that ended before: the callbacks may not have fired."""
    opened, request = received.opened, delivery.request
    if opened.told and (follows(request) or states.is_known(task, request)):
        raise Ignore("its end is known")
    if not opened.told:
        delivery.untold = received.item_id
    if opened.verdict == "cancelled":
        reason = opened.reason or "it was cancelled"
        states.show_revoked(task, request, reason)
        raise Ignore(reason)
    result = runtime().engine().results([received.item_id])[received.item_id]
    if opened.verdict == "failed":
        msg = f"item {result.key} failed: {result.reason}. `papayya retry` queues it again."
        raise ItemFailed(msg)
    if was_ignored(result.findings):
        raise Ignore(result.reason or "it was ignored")
    if isinstance(result.error, OutputUnavailable):
        raise result.error
    return result.output


def follows(request: Any) -> bool:
    """Tell whether something follows from the end of a task: Celery must learn it exactly once."""
    return bool(request.callbacks or request.errbacks or request.chain or request.chord)
