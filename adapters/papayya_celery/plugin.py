"""The Celery adapter as a plugin. Celery itself is imported only where an app has us installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from papayya_core.carriers import Carrier
from papayya_core.contract import Send
from papayya_core.hookspecs import hookimpl

_CARRIER = "celery"


class LazyCarrier:
    """The Celery carrier; not ready before ``papayya_celery.install`` was called here."""

    name = _CARRIER

    def ready(self) -> bool:
        """Tell whether an app of this process has us installed."""
        return "papayya_celery.installing" in sys.modules and self._real().ready()

    def scopes(self) -> Sequence[str]:
        """Name the apps of this process that have us installed."""
        return list(self._real().scopes())

    def send(self, sends: Sequence[Send]) -> None:
        """Publish messages again."""
        self._real().send(sends)

    def hand_back(self, sends: Sequence[Send], delays: Sequence[float]) -> None:
        """Publish messages that run without us."""
        self._real().hand_back(sends, delays)

    def admit(self, books: Any, scopes: Sequence[str]) -> float | None:
        """Let messages out of line."""
        found: float | None = self._real().admit(books, scopes)
        return found

    def tend(self, books: Any, scopes: Sequence[str], quiet: float, encoders: Any) -> None:
        """Complete what a flushed broker or backend has forgotten."""
        self._real().tend(books, scopes, quiet, encoders)

    @staticmethod
    def _real() -> Any:
        from papayya_celery.carrier import CeleryCarrier

        return CeleryCarrier()


@hookimpl
def register_carriers(register: Callable[[Carrier], None]) -> None:
    """Offer the Celery carrier."""
    register(LazyCarrier())


@hookimpl
def classify_error(error: BaseException) -> str | None:
    """A step that raises Retry, Ignore or Reject speaks to Celery: it is not tried again in place."""
    if "celery.exceptions" not in sys.modules:
        return None
    from celery.exceptions import TaskPredicate

    return "permanent" if isinstance(error, TaskPredicate) else None
