"""What a flushed broker or result backend has forgotten: chord counters and results."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from celery.app.task import Context
from celery.backends.base import BaseKeyValueStoreBackend
from kombu.exceptions import EncodeError, SerializationError

from papayya_celery import apps, deliveries, envelopes
from papayya_celery.carried import Carried
from papayya_core import codec, redaction, rules
from papayya_core.errors import ItemFailed
from papayya_core.store import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

    from papayya_celery.apps import Installation
    from papayya_core.carriers import Books

logger = redaction.logger("papayya.celery")
_BATCH = 50
_PAGE = 500
_SENTINEL = "papayya-was-here"
_LATELY = 3600.0  # seconds: whose results somebody may still wait for
_GROUP_KEYS = (".j", ".t", ".s", ".c", ".d")


def fire_stuck_chords(
    books: Books, scopes: Sequence[str], quiet: float, encoders: codec.Encoders | None
) -> int:
    """Complete the chords whose header has ended, yet whose callback never started."""
    params = {"carriers": list(scopes), "quiet": quiet, "limit": _BATCH}
    stuck = books.fetch("stuck_cohorts", params)
    for cohort, name, carrier in stuck:
        found = books.fetch("cohort_parts", {"cohort": cohort})
        try:
            parts = [_Part(row, encoders, run=run, tenant=whose) for *row, run, whose in found]
            _fire(apps.by_carrier()[carrier].app, name, parts)
        except Exception:
            logger.exception("chord %s could not be completed; again later", name)
    return len(stuck)


def _fire(app: Celery, group_id: str, parts: list[_Part]) -> None:
    logger.warning("chord %s lost its count: it is completed from Postgres", group_id)
    backend: Any = app.backend
    if hasattr(backend, "client") and hasattr(backend, "get_key_for_group"):
        keys = [backend.get_key_for_group(group_id, suffix) for suffix in _GROUP_KEYS]
        backend.client.delete(*keys)
        backend.set_chord_size(group_id, len(parts))
        for part in parts:
            with deliveries.inheriting(part.carried):
                part.tell(backend)
        return
    for part in parts:
        part.tell(backend, alone=True)
    callback = app.signature(parts[0].request.chord)
    results = [app.AsyncResult(part.task_id) for part in parts]
    with deliveries.inheriting(parts[-1].carried):
        backend.fallback_chord_unlock(app.GroupResult(group_id, results), callback)


def restore_results(books: Books, scopes: Sequence[str], encoders: codec.Encoders | None) -> int:
    """Store the results of items that ended lately once more, when their backend was emptied.

    Noticed by a key of ours that is gone. A backend that cannot hold one is not watched.
    """
    count = 0
    found = apps.by_carrier()
    for inst in (found[scope] for scope in scopes if scope in found):
        backend: Any = inst.app.backend
        if isinstance(backend, BaseKeyValueStoreBackend):
            sentinel: Any = backend.key_t(_SENTINEL)  # text or bytes
            if not backend.get(sentinel):
                count += _restore(inst, books, encoders)
            backend.set(sentinel, secrets.token_hex(4))  # each time: it expires as results do
    return count


def _restore(inst: Installation, books: Books, encoders: codec.Encoders | None) -> int:
    after, count = 0, 0
    while True:
        params = {"after": after, "carrier": inst.carrier, "seconds": _LATELY, "limit": _PAGE}
        page = books.fetch("ended_since", params)
        for row in page:
            count += _restore_one(inst.app, row, encoders)
        if len(page) < _PAGE:
            return count
        after = page[-1][0]


def _restore_one(app: Celery, row: Sequence[Any], encoders: codec.Encoders | None) -> bool:
    try:
        part = _Part(row, encoders)
        is_gone = not part.request.ignore_result and not app.AsyncResult(part.task_id).ready()
        if is_gone:
            part.tell(app.backend, alone=True)
    except (ValueError, TypeError, LookupError, SerializationError, EncodeError) as error:
        what = "the result of item %d cannot be restored: %s"
        logger.warning(what, row[0], rules.describe_error(error))
        return False
    return is_gone


class _Part:
    """An ended item, as a result backend is told of it."""

    def __init__(
        self,
        row: Sequence[Any],
        encoders: codec.Encoders | None,
        run: str | None = None,
        tenant: str | None = None,
    ) -> None:
        self.item_id: int = row[0]
        _, self._state, self._reason, envelope_codec, envelope, number, output = row
        self._output = (number, output)
        self._encoders = encoders
        self.envelope = envelopes.unpack(envelope_codec, envelope)
        self.request = _request(self.envelope)
        self.task_id: str = self.envelope["headers"]["id"]
        self.carried = Carried(run, tenant, self.item_id)

    def tell(self, backend: Any, *, alone: bool = False) -> None:
        """Store the end; unless it is ``alone``, the chord counts it, too."""
        request = None if alone else self.request
        if self._state == "completed":
            backend.mark_as_done(self.task_id, self._value(), request=request)
        elif self._state == "cancelled":
            backend.mark_as_revoked(self.task_id, self._reason or "cancelled", request=request)
        else:
            error = ItemFailed(self._reason or "it failed")
            backend.mark_as_failure(self.task_id, error, request=request, call_errbacks=False)

    def _value(self) -> Any:
        number, output = self._output
        if number is None or output is None:
            return None
        return codec.decode(rows.unpack(number, output), self._encoders)


def _request(envelope: dict[str, Any]) -> Context:
    from kombu.serialization import loads

    _, _, embed = loads(
        envelope["data"], envelope["content_type"], envelope["content_encoding"], force=True
    )
    return Context({**envelope["headers"], **embed})
