"""What runs beside the tasks: the heartbeat of a worker's children, the pump, and what only the
worker's parent process learns (hard time limits, revokes).
"""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from celery import signals
from celery.exceptions import TimeLimitExceeded
from celery.states import RETRY

from papayya_celery import apps, carried, deliveries, states, warnings
from papayya_core import redaction
from papayya_core import runtime as runtimes
from papayya_core.heartbeat import Beat, is_stopped
from papayya_core.owner import owner_of

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = redaction.logger("papayya.celery")
_NESTINGS = 8
_PATIENCE = 2.0  # seconds: the worker's parent serves all of its children
_parent: int | None = None
_stop = threading.Event()


def connect() -> None:
    """Listen to the worker's signals; again is nothing."""
    for signal, receiver in (
        (signals.worker_init, _on_init),
        (signals.worker_process_init, _on_child),
        (signals.worker_ready, _on_ready),
        (signals.worker_shutdown, _on_shutdown),
        (signals.task_postrun, _on_postrun),
        (signals.task_failure, _on_failure),
        (signals.task_revoked, _on_revoked),
    ):
        signal.connect(receiver, weak=False, dispatch_uid=f"papayya.{receiver.__name__}")


def _on_init(sender: Any, **_: Any) -> None:
    global _parent  # noqa: PLW0603 - one worker per process
    _parent = os.getpid()
    if (inst := apps.of(sender.app)) is not None:
        warnings.check(inst, sender)


def _on_child(**_: Any) -> None:
    """A forked child leaves the heartbeat to its parent, which busy user code cannot starve."""
    if _parent is not None and os.getpid() != _parent and apps.every():
        before = runtimes.runtime()
        runtimes.configure(replace(before.settings, heartbeat="off"), before.given)


def _on_ready(sender: Any, **_: Any) -> None:
    inst = apps.of(sender.app)
    here = runtimes.runtime()
    if inst is None or here.settings.mode == "off":
        return
    _stop.clear()
    pool = sender.controller.pool
    if _forks(pool):
        threading.Thread(target=_beat, args=(pool,), name="papayya-children", daemon=True).start()
    if inst.pump:
        threading.Thread(target=_start_pump, name="papayya-start", daemon=True).start()


def _start_pump() -> None:
    """Start the pump without keeping the worker waiting for Postgres."""
    while not _stop.is_set():
        try:
            runtimes.runtime().start_pump()
        except Exception:
            logger.exception("the pump cannot start yet; trying again")
            _stop.wait(5.0)
        else:
            return


def _forks(pool: Any) -> bool:
    return type(pool).__module__.startswith("celery.concurrency.prefork")


def _beat(pool: Any) -> None:
    """Renew the leases of all children, by one statement."""
    here = runtimes.runtime()
    beat: Beat | None = None
    while not _stop.wait(here.settings.heartbeat_seconds):
        try:
            if beat is None:
                settings = here.settings
                job = {"dsn": here.dsn, "owner": here.owner, "lease": settings.lease_seconds}
                beat = Beat(job, lambda: _owners(pool))
            beat()
        except Exception:
            logger.exception("the leases of the worker's children were not renewed; again later")


def _owners(pool: Any) -> Iterator[str]:
    for pid in pool.info.get("processes") or ():
        name = owner_of(pid)
        if not is_stopped(name):
            yield name


def _on_shutdown(sender: Any, **_: Any) -> None:
    if apps.of(sender.app) is not None:
        _stop.set()
        runtimes.reset()


def _on_postrun(task: Any, state: str | None = None, **_: Any) -> None:
    """Celery has recorded the end and started what follows: say so in Postgres."""
    delivery = deliveries.of(task.request)
    if delivery is None or state is None:
        return
    engine = runtimes.runtime().engine()
    if delivery.untold is not None:
        engine.store.fetch("told", {"item": delivery.untold})
    elif state == RETRY and delivery.handed and delivery.execution is not None:
        item = delivery.execution.item_id
        states.show_end_again(task, delivery.request, engine.results([item])[item])


def _on_failure(sender: Any, task_id: str, exception: Any = None, **_: Any) -> None:
    """A hard time limit kills the child; the parent ends the item."""
    if isinstance(exception, TimeLimitExceeded) and apps.of(sender.app) is not None:
        digests = [carried.digest(task_id, nesting) for nesting in range(_NESTINGS)]
        reason = f"the task passed its hard time limit: {exception}"
        params = {"digests": digests, "check": "time_limit", "reason": reason}
        runtimes.runtime().engine().store.fetch("give_up_live", params, _PATIENCE)


def _on_revoked(sender: Any, request: Any, expired: bool = False, **_: Any) -> None:
    """A message that Celery threw away: its item is cancelled."""
    header = carried.read(getattr(request, "__dict__", None))
    if header is None or header.item is None or apps.of(sender.app) is None:
        return
    reason = "its message has expired" if expired else "it was revoked"
    params = {"item": header.item, "reason": reason}
    runtimes.runtime().engine().store.fetch("revoked", params, _PATIENCE)
