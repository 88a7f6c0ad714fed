"""The body of an item in a worker, and from how it ended to Celery's own gestures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.exceptions import Ignore, Reject, Retry, TaskPredicate

from papayya_celery import deliveries, states
from papayya_celery.patience import surely
from papayya_core import context, rules, sync
from papayya_core.contract import Captured, Finding, Run
from papayya_core.errors import ItemTimedOut, ItemTookTooLong, Signal, StoreUnavailable
from papayya_core.runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from celery import Task

    from papayya_celery.deliveries import Delivery
    from papayya_celery.opening import Received
    from papayya_core.engine import Ended
    from papayya_core.execution import Execution


def run_body(
    task: Task[..., Any], delivery: Delivery, received: Received, call: Callable[[], Any]
) -> Any:
    """Run the user's code in its item and end the dispatch."""
    execution = _execution(task, delivery, received)
    engine = runtime().engine()
    delivery.execution = execution
    try:
        with context.executing(execution):
            output = sync.call(call, (), {})
    except TaskPredicate as wish:
        ended = _end_by_celery(delivery, execution, wish)
    except StoreUnavailable:  # not the task's failure: it goes back to its queue
        surely(lambda: engine.abandon(execution))
        raise
    except (Exception, Signal) as error:  # noqa: BLE001 - each kind has its own ending
        raised = error
        ended = surely(lambda: _end_raised(delivery, execution, raised))
    except BaseException as error:  # noqa: BLE001 - what ends this process is not kept waiting
        ended = engine.end_raised(execution, error)
    else:
        ended = surely(lambda: engine.end_returned(execution, output))
    if execution.tell is not None and ended.state in ("completed", "failed", "cancelled"):
        delivery.untold = execution.item_id
    return _conclude(task, delivery, ended)


def _end_raised(delivery: Delivery, execution: Execution, error: BaseException) -> Ended:
    """End a dispatch whose body raised. An eager task does not wait: nothing would bring it again."""
    engine = runtime().engine()
    if delivery.request.is_eager and execution.latch is None and isinstance(error, Exception):
        return engine.fail(execution, error)
    return engine.end_raised(execution, error)


def _execution(task: Task[..., Any], delivery: Delivery, received: Received) -> Execution:
    runtime().plugins.instrument(runtime().settings)
    whose, request = received.whose, delivery.request
    run = Run(whose.run_id, whose.run, existed=True, cancelled=False)
    captured = Captured(0, received.item_id, whose.key, whose.ordinal, "running", fresh=False)
    execution = (
        runtime().engine().execution(run, received.agent, whose.tenant, captured, received.opened)
    )
    if request.callbacks or request.errbacks or request.chain or request.chord:
        execution.tell = runtime().settings.lease_seconds  # so long has Celery to learn the end
    execution.before_parking = lambda state, why: states.show_parked(task, request, state, why)
    return execution


def _end_by_celery(delivery: Delivery, execution: Execution, wish: TaskPredicate) -> Ended:
    """End a dispatch whose body used Celery's own gestures; they go on to Celery."""
    engine = runtime().engine()
    if delivery.handed:
        raise wish
    if (latch := execution.latch) is not None:
        return surely(lambda: engine.stop(execution, latch))
    if isinstance(wish, Reject):
        execution.tell = None  # Celery starts nothing after it
    if isinstance(wish, Retry) and delivery.request.is_eager and not deliveries.throws():
        why = f"retry {delivery.request.retries + 1}: {rules.describe_error(wish.exc or wish)}"
        engine.release(execution, "queued", why)  # apply() brings it again at once
    elif isinstance(wish, Reject) and getattr(wish, "requeue", False):
        surely(lambda: engine.release(execution, "queued", "rejected: it goes back to its queue"))
    elif isinstance(wish, Ignore):
        execution.findings.append(_ignored(delivery))
        execution.tell = None  # Celery starts nothing after it
        surely(lambda: engine.complete(execution, None))
    else:
        is_retry = isinstance(wish, Retry)
        surely(lambda: engine.fail(execution, wish, "retry" if is_retry else "rejected"))
    raise wish


def was_ignored(findings: Iterable[Finding]) -> bool:
    """Tell whether the body of an ended item raised Ignore: there is no result to give."""
    return any(finding.check in ("ignored", "replaced") for finding in findings)


def _ignored(delivery: Delivery) -> Finding:
    if delivery.replaced:
        return Finding("replaced", "note", "the task replaced itself by another one")
    reason = "the task raised Ignore: Celery records no result of it"
    return Finding("ignored", "degraded", reason)


def _conclude(task: Task[..., Any], delivery: Delivery, ended: Ended) -> Any:
    """Return or raise what Celery is to see."""
    if delivery.handed:
        raise Ignore("its item was sent again")
    if ended.state == "completed":
        return ended.output
    if ended.state == "failed":
        if isinstance(ended.signal, ItemTimedOut):
            raise ItemTookTooLong(ended.signal.reason) from ended.signal
        raise ended.error or ItemTookTooLong(ended.reason or "it failed")
    if ended.state == "cancelled":
        states.show_revoked(task, delivery.request, ended.reason or "it was cancelled")
    raise Ignore(ended.reason or ended.state)
