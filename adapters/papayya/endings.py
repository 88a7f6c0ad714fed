"""From how an item ended to what its caller sees: a value, or an ordinary exception."""

from __future__ import annotations

from typing import Any, NoReturn

from papayya_core.contract import ItemResult, Run
from papayya_core.errors import (
    BudgetExhausted,
    BudgetPaused,
    HandPaused,
    ItemFailed,
    ItemParked,
    ItemTakenOver,
    ItemTimedOut,
    ItemTookTooLong,
    ItemWasCancelled,
    OutputUnavailable,
    Paused,
    Signal,
)
from papayya_core.execution import Execution


def unwrap(result: ItemResult, parent: Execution | None, run: Run) -> Any:
    """Return the item's output, or raise why there is none.

    Inside another item a pause pauses that one too: it cannot go on without its part.
    """
    if result.state == "completed":
        if isinstance(result.error, OutputUnavailable):
            raise result.error
        return result.output
    if result.state == "failed":
        raise_failed(result, run)
    if result.state in ("paused", "queued", "waiting"):
        if parent is not None:
            raise parent.trip(_as_signal(result))
        raise_parked(result, run)
    if result.state == "cancelled":
        msg = f"item {result.key} was cancelled: {result.reason or 'no reason was given'}"
        raise ItemWasCancelled(msg)
    msg = f"another worker has item {result.key}; what this one did since was not recorded"
    raise ItemTakenOver(msg)


def raise_failed(result: ItemResult, run: Run) -> NoReturn:
    """Raise the function's own exception; or say that the item failed, and how to go on."""
    if isinstance(result.error, ItemTimedOut):
        raise ItemTookTooLong(str(result.error)) from result.error
    if result.error is not None and not isinstance(result.error, Signal):
        raise result.error
    msg = (
        f"item {result.key} failed earlier: {result.reason}. "
        f"`papayya retry {run.name}` queues it again."
    )
    raise ItemFailed(msg)


def raise_parked(result: ItemResult, run: Run) -> NoReturn:
    """Say why the item is parked and how it goes on."""
    reason = result.reason or "it is parked"
    cause = result.error
    if isinstance(cause, BudgetPaused) or reason.startswith("budget:"):
        msg = (
            f"item {result.key} is paused: {reason}. Its finished steps are kept: raise the budget "
            f"(`papayya budget set`) and run again with PAPAYYA_RUN_ID={run.name}."
        )
        raise BudgetExhausted(msg) from cause
    first = f"`papayya resume {run.name}`, then g" if result.state == "paused" else "G"
    msg = f"item {result.key} is parked: {reason}. {first}o on with PAPAYYA_RUN_ID={run.name}."
    raise ItemParked(msg) from cause


def _as_signal(result: ItemResult) -> Signal:
    if isinstance(result.error, Signal) and not isinstance(result.error, HandPaused):
        return result.error
    reason = result.reason or "a part of it is parked"
    return BudgetPaused(reason) if reason.startswith("budget:") else Paused(reason)
