"""Chords as Postgres knows them: their size, and whether their callback was started."""

from __future__ import annotations

from papayya_celery.capture import breaker
from papayya_core import redaction, rules
from papayya_core.errors import PapayyaError
from papayya_core.runtime import runtime

logger = redaction.logger("papayya.celery")


def note_size(group_id: str, carrier: str, size: int) -> None:
    """All of a chord's header is being published: so many tasks are it."""
    _write("cohort_size", {"name": group_id, "carrier": carrier, "size": size}, group_id)


def note_fired(group_id: str) -> None:
    """The callback of a chord was started, or its error was."""
    _write("cohort_fired", {"names": [group_id]}, group_id)


def _write(statement: str, params: dict[str, object], group_id: str) -> None:
    here = runtime()
    if here.settings.mode == "off" or breaker.is_open():
        return
    try:
        here.engine().store.fetch(statement, params, here.settings.capture_seconds)
    except PapayyaError as error:
        breaker.trip()
        what = "chord %s is not watched over by Papayya: %s"
        logger.warning(what, group_id, rules.describe_error(error))
