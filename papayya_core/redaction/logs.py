"""Loggers of our own, whose records carry no secrets to whoever listens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from papayya_core.redaction.texts import redact

_formatter = logging.Formatter()
_clean: Callable[[str], str] = redact
_busy = threading.local()


class Redacting(logging.Filter):
    """Take secrets out of records: message and exception.

    A filter sees only what is logged by its own logger, hence it is at each of ours.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact a record in place; it is always let through, and nothing is raised."""
        try:
            _redact(record)
        except Exception:  # noqa: BLE001 - a log line must not break work
            record.msg, record.args = "a message was withheld: it could not be redacted", None
            record.exc_info = record.exc_text = None
        return True


def _redact(record: logging.LogRecord) -> None:
    said = record.getMessage()
    if (shown := _cleaned(said)) != said:
        record.msg, record.args = shown, None
    if record.exc_info and record.exc_info[1] is not None:
        trace = _formatter.formatException(record.exc_info)
        if (shown := _cleaned(trace)) != trace:  # a handler's own format must not see it either
            record.exc_text, record.exc_info = shown, None


def _cleaned(text: str) -> str:
    if getattr(_busy, "now", False):  # a redactor that logs
        return redact(text)
    _busy.now = True
    try:
        return _clean(text)
    finally:
        _busy.now = False


_filter = Redacting()


def logger(name: str) -> logging.Logger:
    """Return a logger of ours."""
    found = logging.getLogger(name)
    found.addFilter(_filter)
    return found


def use(clean: Callable[[str], str]) -> None:
    """Set how the records of this process are redacted."""
    global _clean  # noqa: PLW0603 - one per process is the point
    _clean = clean
