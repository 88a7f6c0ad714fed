"""Items that the pump sends again: the message as it was, under the same id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from papayya_celery import apps, envelopes, repair
from papayya_celery.carried import HEADER, Carried, write
from papayya_core import redaction, rules
from papayya_core.contract import Send
from papayya_core.errors import PapayyaError
from papayya_core.runtime import runtime

if TYPE_CHECKING:
    from celery import Celery

    from papayya_core.carriers import Books
    from papayya_core.codec import Encoders

logger = redaction.logger("papayya.celery")
_BATCH = 2000  # let out at a look
_SOON, _LOOK = 0.1, 0.5  # seconds between two looks, with and without messages in line


class CeleryCarrier:
    """Publishes through the apps that this process has installed us on."""

    name = "celery"

    def ready(self) -> bool:
        """Tell whether there is an app to publish through."""
        return bool(apps.every())

    def scopes(self) -> list[str]:
        """Name the apps."""
        return list(apps.by_carrier())

    def send(self, sends: Sequence[Send]) -> None:
        """Publish messages again.

        One whose first copy may still lie in its queue is left alone while the queue is not empty:
        a backlog is no loss.
        """
        for app, batch in _by_app(sends):
            with app.producer_or_acquire() as producer:
                queues = _Queues(app)
                for send, envelope in batch:
                    _send(app, producer, queues, send, envelope)

    def admit(self, books: Books, scopes: Sequence[str]) -> float | None:
        """Let messages out of line for which there is room; see ``install(admission=…)``."""
        found, again = apps.by_carrier(), None
        holds_back = runtime().settings.mode == "enforce"
        for scope in scopes:
            most = found[scope].admission if holds_back and scope in found else None
            params = {"carrier": scope, "most": most, "limit": _BATCH}
            [[_, more]] = books.fetch("let_out", params)
            if most is not None or more:
                again = min(again or _LOOK, _SOON if more else _LOOK)
        return again

    def tend(
        self, books: Books, scopes: Sequence[str], quiet: float, encoders: Encoders | None
    ) -> None:
        """Complete what a flushed broker or result backend has forgotten."""
        repair.fire_stuck_chords(books, scopes, quiet, encoders)
        repair.restore_results(books, scopes, encoders)

    def hand_back(self, sends: Sequence[Send], delays: Sequence[float]) -> None:
        """Publish messages that no installation of ours will look at; ``delays`` in seconds.

        Raises PapayyaError, before anything is sent, when one of them cannot be.
        """
        delay_of = {send.item_id: delay for send, delay in zip(sends, delays, strict=True)}
        batches = _by_app(sends)
        if (readable := sum(len(batch) for _, batch in batches)) < len(sends):
            msg = f"{len(sends) - readable} items cannot be handed back; the log names them"
            raise PapayyaError(msg)
        for app, batch in batches:
            with app.producer_or_acquire() as producer:
                for send, envelope in batch:
                    headers = envelope["headers"] | {HEADER: write(Carried(handed_back=True))}
                    envelopes.delay(headers, delay_of[send.item_id])
                    _publish(app, producer, envelope, headers, send.parked)


def _by_app(sends: Sequence[Send]) -> list[tuple[Celery, list[tuple[Send, dict[str, Any]]]]]:
    """Read the envelopes and group them by the app of each."""
    batches: dict[str, list[tuple[Send, dict[str, Any]]]] = {}
    for send in sends:
        try:
            envelope = envelopes.unpack(send.codec or 0, send.envelope or b"")
        except Exception as error:  # noqa: BLE001 - one of them must not keep back the others
            what = "item %s of run %s cannot be sent again: %s"
            logger.warning(what, send.key, send.run, rules.describe_error(error))
            continue
        batches.setdefault(send.carrier, []).append((send, envelope))
    found = apps.by_carrier()
    return [(found[name].app, batch) for name, batch in batches.items()]


def _send(
    app: Celery, producer: Any, queues: _Queues, send: Send, envelope: dict[str, Any]
) -> None:
    may_lie_there = send.sends > 1 and not send.ended and not send.overtaken
    if may_lie_there and any(map(queues.hold, _names(envelope))):
        return
    facts = Carried(send.run, send.tenant, None, send.item_id, send.dispatch_no)
    headers = envelope["headers"] | {HEADER: write(facts)}
    if send.ended:
        headers["expires"] = None
    _publish(app, producer, envelope, headers, send.parked)


def _names(envelope: dict[str, Any]) -> list[str]:
    if envelope["queues"]:
        return list(envelope["queues"])
    return [envelope["routing_key"]] if not envelope["exchange"] else []


def _publish(
    app: Celery, producer: Any, envelope: dict[str, Any], headers: dict[str, Any], parked: float
) -> None:
    envelopes.prolong(headers, parked)
    known = app.amqp.queues
    producer.publish(
        envelope["data"],
        headers=headers,
        exchange=envelope["exchange"],
        routing_key=envelope["routing_key"],
        content_type=envelope["content_type"],
        content_encoding=envelope["content_encoding"],
        declare=[known[name] for name in envelope["queues"] if name in known],
        retry=True,
        retry_policy=app.conf.task_publish_retry_policy,
        **envelope["properties"],
    )


class _Queues:
    """Which queues have messages in them, asked once each."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._held: dict[str, bool] = {}

    def hold(self, name: str) -> bool:
        """Tell whether messages wait in a queue; one that does not exist has none."""
        if name not in self._held:
            self._held[name] = self._ask(name)
        return self._held[name]

    def _ask(self, name: str) -> bool:
        # on a connection of its own: brokers close the channel that asks for what is not there
        with self._app.connection_for_write() as connection:
            try:
                with connection.channel() as opened:
                    channel: Any = opened
                    return bool(channel.queue_declare(queue=name, passive=True).message_count)
            except connection.channel_errors:
                return False
