"""What is current here: the item's execution and the step. Context variables, so that every task
and every worker thread sees its own.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from papayya_core.contract import Run
    from papayya_core.execution import Execution, Step

P = ParamSpec("P")
R = TypeVar("R")

_EXECUTION: ContextVar[Execution | None] = ContextVar("papayya_execution", default=None)
_STEP: ContextVar[Step | None] = ContextVar("papayya_step", default=None)
_STEPS: ContextVar[tuple[Step, ...]] = ContextVar("papayya_steps", default=())
_RUN: ContextVar[Run | None] = ContextVar("papayya_run", default=None)
_LEFT_ALONE: ContextVar[bool] = ContextVar("papayya_left_alone", default=False)


def current() -> Execution | None:
    """Return the execution of the item that is current here."""
    return _EXECUTION.get()


def current_step() -> Step | None:
    """Return the step that is current here; None for code outside any step."""
    return _STEP.get()


def steps_around() -> tuple[Step, ...]:
    """Return all steps that the caller is in, those of items around its own included."""
    return _STEPS.get()


def block_run() -> Run | None:
    """Return the run whose block the caller is in, if any."""
    return _RUN.get()


def enter_run(run: Run | None) -> None:
    """Make a run the one of the block that the caller is in."""
    _RUN.set(run)


def activate(execution: Execution | None) -> None:
    """Make an execution current until somebody else does (a handle without a block)."""
    _EXECUTION.set(execution)
    _STEP.set(None)


def is_left_alone() -> bool:
    """Tell whether the work here was given back to its carrier: its steps are plain calls."""
    return _LEFT_ALONE.get() and _EXECUTION.get() is None


@contextmanager
def leaving_alone() -> Iterator[None]:
    """Record nothing of the work in this block that is in no item."""
    before = _LEFT_ALONE.get()
    _LEFT_ALONE.set(True)
    try:
        yield
    finally:
        _LEFT_ALONE.set(before)


@contextmanager
def executing(execution: Execution) -> Iterator[None]:
    """Make an execution current for a block.

    The values from before are set again rather than a token reset: a token belongs to one context,
    and a generator may be closed in another.
    """
    before, step = _EXECUTION.get(), _STEP.get()
    activate(execution)
    try:
        yield
    finally:
        _EXECUTION.set(before)
        _STEP.set(step)


class stepping:  # noqa: N801
    """Make a step current for a block."""

    __slots__ = ("_around", "_before", "_step")

    def __init__(self, step: Step) -> None:
        self._step = step

    def __enter__(self) -> None:
        self._before, self._around = _STEP.get(), _STEPS.get()
        _STEP.set(self._step)
        _STEPS.set((*self._around, self._step))

    def __exit__(self, *_: object) -> None:
        _STEP.set(self._before)
        _STEPS.set(self._around)


def bind(fn: Callable[P, R]) -> Callable[P, R]:
    """Carry the current item into a thread: ``executor.submit(bind(fn), …)``.

    Threads that an agent starts by itself do not inherit context variables.
    """
    context = copy_context()

    @wraps(fn)
    def bound(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(fn, *args, **kwargs)

    return bound
