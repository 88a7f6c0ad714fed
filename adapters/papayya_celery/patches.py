"""Where we hold on to Celery: five functions, each wrapped once per process, for installed apps only.

Signals would not do: their receivers cannot stop a task, and what they raise is swallowed.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import TYPE_CHECKING, Any

import celery.app.trace
from celery.app.amqp import AMQP
from celery.app.task import Task as Base
from celery.backends import base
from celery.utils.imports import qualname

from papayya_celery import apps, cohorts, deliveries, publishing, retrying
from papayya_celery.guard import guarded
from papayya_core import redaction
from papayya_core.runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Task

    from papayya_celery.apps import Installation

logger = redaction.logger("papayya.celery")
_MARK = "_papayya_guard"
_done: set[str] = set()


def apply() -> None:
    """Wrap what has to be wrapped; again is nothing."""
    if "all" in _done:
        return
    _done.add("all")
    _wrap_tracer()
    _wrap_strategy()
    Base.retry = retrying.wrap(Base.retry)  # type: ignore[method-assign]
    AMQP._create_task_sender = _wrap_sender(AMQP._create_task_sender)  # type: ignore[attr-defined]  # noqa: SLF001
    for cls in (base.Backend, base.BaseKeyValueStoreBackend, *_redis()):
        _wrap_backend(cls)


def _redis() -> list[type]:
    try:
        return [importlib.import_module("celery.backends.redis").RedisBackend]
    except ImportError:
        return []


def _wrap_tracer() -> None:
    """Celery builds the tracer of a task in the worker, in each of its children, and for apply()."""
    original = celery.app.trace.build_tracer

    @functools.wraps(original)
    def build_tracer(name: str, task: Task[..., Any], *args: Any, **kwargs: Any) -> Any:
        app = kwargs.get("app") or task.app
        inst = apps.of(app)
        if inst is not None:
            guard(inst, task)
        trace = original(name, task, *args, **kwargs)
        if inst is not None and kwargs.get("eager"):
            return deliveries.throwing(trace, throws=bool(kwargs.get("propagate")))
        return trace

    celery.app.trace.build_tracer = build_tracer
    consumer = sys.modules.get("celery.worker.consumer.consumer")
    if consumer is not None:
        consumer.build_tracer = build_tracer  # type: ignore[attr-defined]


def _wrap_strategy() -> None:
    """The worker's parent reads a task's settings once, when it makes its strategy."""
    original = Base.start_strategy

    @functools.wraps(original)
    def start_strategy(self: Any, app: Any, *args: Any, **kwargs: Any) -> Any:
        if (inst := apps.of(app)) is not None:
            guard(inst, self)
        return original(self, app, *args, **kwargs)

    Base.start_strategy = start_strategy  # type: ignore[method-assign]


def guard(inst: Installation, task: Task[..., Any]) -> None:
    """Guard the body of a task: its ``run``, or its class's own ``__call__``.

    Late acknowledgement is forced: a message that is acknowledged before its body is lost with its
    worker, and Celery would record a failure that is none.
    """
    if not _is_guardable(inst, task) or runtime().settings.mode == "off":
        return
    task.acks_late = True
    task.reject_on_worker_lost = True
    if getattr(task.run, _MARK, None) is inst or getattr(task, _MARK, None) is inst:
        return
    if _has_own_call(task):
        _guard_call(inst, task)
    else:
        body = guarded(inst, task, task.run)
        setattr(body, _MARK, inst)
        task.run = body  # type: ignore[method-assign]


def _is_guardable(inst: Installation, task: Task[..., Any]) -> bool:
    return inst.manages(task.name) or task.name in ("celery.map", "celery.starmap")


def _has_own_call(task: Task[..., Any]) -> bool:
    found = next(cls for cls in type(task).__mro__ if "__call__" in vars(cls))
    return found is not Base and found.__module__ != "celery.app.task"


def _guard_call(inst: Installation, task: Task[..., Any]) -> None:
    """Give the task a class of its own, with a guarded ``__call__``: others may share its base."""
    cls: Any = type(task)

    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        return guarded(inst, self, functools.partial(cls.__call__, self))(*args, **kwargs)

    own = type(cls.__name__, (cls,), {"__call__": __call__, "__module__": cls.__module__})
    own.__qualname__ = qualname(cls)
    setattr(task, _MARK, inst)
    task.__class__ = own


def _wrap_sender(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(original)
    def _create_task_sender(amqp: Any) -> Any:
        send, inst = original(amqp), apps.of(amqp.app)
        return send if inst is None else publishing.wrap(inst, send)

    return _create_task_sender


def wrap_existing_sender(app: Any) -> None:
    """Wrap the sender of an app that has published before it was installed on."""
    amqp = vars(app).get("amqp")
    if amqp is not None:
        vars(amqp).pop("send_task_message", None)  # made anew, and wrapped, at its next use


def _wrap_backend(cls: Any) -> None:
    if "set_chord_size" in vars(cls):
        cls.set_chord_size = _wrap_size(cls.set_chord_size)
    if "on_chord_part_return" in vars(cls):
        cls.on_chord_part_return = _wrap_part_return(cls.on_chord_part_return)
    if "chord_error_from_stack" in vars(cls):
        cls.chord_error_from_stack = _wrap_error(cls.chord_error_from_stack)


def _wrap_size(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def set_chord_size(self: Any, group_id: str, chord_size: int, *args: Any, **kw: Any) -> Any:
        found = original(self, group_id, chord_size, *args, **kw)
        if (inst := apps.of(self.app)) is not None:
            cohorts.note_size(group_id, inst.carrier, chord_size)
        return found

    return set_chord_size


def _wrap_part_return(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def on_chord_part_return(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        if apps.of(self.app) is None or not request.group:
            return original(self, request, *args, **kwargs)
        with deliveries.firing(request.group):
            return original(self, request, *args, **kwargs)

    return on_chord_part_return


def _wrap_error(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def chord_error_from_stack(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = original(self, *args, **kwargs)
        if (cohort := deliveries.fired()) is not None:
            cohorts.note_fired(cohort)
        return found

    return chord_error_from_stack
