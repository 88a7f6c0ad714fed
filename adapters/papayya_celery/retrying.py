"""Retries that are none: a task that came upon a rate limit waits, whoever caught the error.

``task.retry`` is where Celery's own retries, ``autoretry_for`` and people's code meet.
"""

from __future__ import annotations

import functools
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from celery.exceptions import Retry

from papayya_celery import deliveries
from papayya_core.errors import Throttled
from papayya_core.runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from papayya_core.errors import Signal


def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``Task.retry``: after a rate limit no try is counted, also when all are used up."""

    @functools.wraps(original)
    def retry(
        self: Any,
        args: Any = None,
        kwargs: Any = None,
        exc: Any = None,
        throw: bool = True,
        eta: Any = None,
        countdown: Any = None,
        max_retries: Any = None,
        **options: Any,
    ) -> Any:
        again = functools.partial(
            original, self, args, kwargs, exc, throw, eta, countdown, max_retries, **options
        )
        signal = _throttling(self.request, exc)
        if signal is None:
            return again()
        if args is not None or kwargs is not None or options:  # it goes on as another message
            return _uncounted(self.request, again)
        _wait(self.request, signal, max(countdown or 0.0, _until(eta)))
        if throw:
            raise signal
        return Retry(exc=exc, when=eta or countdown)

    return retry


def _throttling(request: Any, error: Any) -> Signal | None:
    """Tell what a retry is for; None for all but rate limits, and where we have no say."""
    delivery = deliveries.of(request)
    if delivery is None or delivery.execution is None or delivery.handed or request.is_eager:
        return None
    cause = error if isinstance(error, BaseException) else sys.exception()
    if cause is None:
        return None
    return runtime().engine().throttling(delivery.execution, cause)


def _wait(request: Any, signal: Signal, seconds: float) -> None:
    """Latch the signal; who asks for a later time than the provider gets it."""
    if isinstance(signal, Throttled):
        signal.delay = max(signal.delay, seconds)
    deliveries.of(request).execution.trip(signal)  # type: ignore[union-attr]


def _uncounted(request: Any, again: Callable[[], Any]) -> Any:
    request.retries -= 1
    try:
        return again()
    finally:
        request.retries += 1


def _until(eta: datetime | None) -> float:
    if eta is None:
        return 0.0
    moment = eta if eta.tzinfo is not None else eta.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
