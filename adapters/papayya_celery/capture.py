"""Into Postgres before the broker: never in the way of a publisher for long."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from papayya_celery import carried, envelopes
from papayya_core import codec, redaction, rules
from papayya_core.contract import Captured, Intake, Submission
from papayya_core.errors import PapayyaError
from papayya_core.results import store_value
from papayya_core.runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papayya_celery.identity import Named
    from papayya_core.contract import Body

logger = redaction.logger("papayya.celery")

_RESTS = 10.0  # seconds for which a publisher does without Postgres after it was away


class Breaker:
    """Open for a while after a failure, so that not each of a thousand messages waits."""

    def __init__(self, rests: float) -> None:
        self._rests = rests
        self._until = 0.0
        self._lock = threading.Lock()

    def is_open(self) -> bool:
        """Tell whether to do without for now."""
        return time.monotonic() < self._until

    def trip(self) -> None:
        """Do without from now on, for a while."""
        with self._lock:
            self._until = time.monotonic() + self._rests


breaker = Breaker(_RESTS)


def submission(
    named: Named,
    headers: Mapping[str, Any],
    args: Any,
    kwargs: Any,
    embed: Mapping[str, Any],
    envelope: Body | None,
    follows: str | None = None,
) -> Submission:
    """Make the submission of one message."""
    here = runtime()
    nesting = headers.get("replaced_task_nesting") or 0
    stored = store_value(
        {"args": list(args), "kwargs": dict(kwargs)},
        here.plugins.encoders,
        -1,
        here.settings.max_payload_bytes,
    )
    is_part = bool(embed.get("chord")) and bool(headers.get("group"))
    return Submission(
        named.tenant,
        named.key,
        carried.digest(headers["id"], nesting),
        stored.body,
        parent_id=named.parent,
        envelope=envelope,
        cohort=headers["group"] if is_part else None,
        place=headers.get("group_index") if is_part else None,
        follows=follows,
    )


def intake(named: Named, agent: str, delay: float = 0.0, most: int | None = None) -> Intake:
    """Say where the messages of one publish go; ``delay``: seconds that Celery holds them back.

    ``most``: of a tenant's messages so many may be with the broker.
    """
    settings = runtime().settings
    resend = settings.lease_seconds + delay
    if settings.mode != "enforce":
        most = None
    return Intake(named.run, named.label, named.seal, named.carrier, agent, resend, most, delay)


def capture(batch: Sequence[Submission], into: Intake) -> list[Captured] | None:
    """Submit messages; None when Postgres is away: their items are made when they are opened."""
    if breaker.is_open():
        return None
    here = runtime()
    try:
        return here.engine().store.publish(batch, into, here.settings.capture_seconds)
    except PapayyaError as error:
        breaker.trip()
        logger.warning(
            "messages go without Postgres for %.0f s (%s); a worker that opens one makes its item",
            _RESTS,
            rules.describe_error(error),
        )
    except codec.Unencodable as error:
        logger.warning("a message goes without Postgres: %s", error)
    except Exception:
        logger.exception("a message goes without Postgres; its item is made when it is opened")
    return None


def mark_failed(item: int, error: BaseException) -> None:
    """End an item whose message never left; the caller was told by the exception."""
    reason = f"it could not be published: {rules.describe_error(error)}"
    try:
        runtime().engine().store.fetch(
            "give_up", {"item": item, "check": "publish_failed", "reason": reason}, 2.0
        )
    except Exception:
        logger.exception("item %d could not be marked as not published", item)


def envelope_of(app: Any, data: str | bytes, options: Mapping[str, Any]) -> Body | None:
    """Pack an envelope; without one the pump cannot send the message again, and the log says so."""
    try:
        return envelopes.pack(app.main, data, options)
    except Exception as error:  # noqa: BLE001 - headers hold whatever users put there
        logger.warning(
            "message %s cannot be sent again by the pump: %s",
            options["headers"].get("id"),
            rules.describe_error(error),
        )
        return None
