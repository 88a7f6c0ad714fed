"""The way of a message out: named, captured in Postgres, then given to the broker.

Everything else that Celery's publishers and their signal receivers do is done before: what is kept
is what the broker gets.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from papayya_celery import capture, carried, cohorts, deliveries, envelopes, identity
from papayya_celery.carried import HEADER, Carried
from papayya_celery.naming import Message
from papayya_celery.patience import surely
from papayya_core import context, rules
from papayya_core.runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from papayya_celery.apps import Installation
    from papayya_celery.deliveries import Delivery
    from papayya_celery.identity import Named
    from papayya_core.contract import Captured, Intake, Submission

_BODY_PARTS = 3


def wrap(inst: Installation, send: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the app's ``send_task_message``."""

    def send_task_message(producer: Any, name: str, message: Any, **options: Any) -> Any:
        if runtime().settings.mode == "off" or not _is_protocol_2(message):
            return send(producer, name, message, **options)
        outgoing = _Producer(inst, producer, message.body)
        try:
            return send(outgoing, name, message, **options)
        except Exception as error:
            if outgoing.item is not None:
                capture.mark_failed(outgoing.item, error)
            raise

    return send_task_message


def _is_protocol_2(message: Any) -> bool:
    body = getattr(message, "body", None)
    return isinstance(body, tuple) and len(body) == _BODY_PARTS and "id" in message.headers


@dataclass(slots=True)
class Outgoing:
    """A message on its way: serialized, with kombu's options; ``one`` when it makes an item."""

    data: Any
    options: dict[str, Any]
    agent: str = ""
    named: Named | None = None
    one: Submission | None = None
    item: int | None = None
    in_line: bool = False

    @property
    def delay(self) -> float:
        """Seconds for which Celery itself holds it back."""
        return envelopes.delay_of(self.options["headers"])

    def intake(self, inst: Installation) -> Intake:
        """Say where it goes."""
        assert self.named is not None  # noqa: S101 - only messages that make items are captured
        return capture.intake(self.named, self.agent, self.delay, inst.admission)

    def captured(self, found: Captured | None) -> None:
        """Write the header, with the item if there is one."""
        named = self.named
        assert named is not None  # noqa: S101 - only messages that make items are captured
        facts = Carried(named.run, named.tenant, named.parent, key=named.key)
        if found is not None:
            self.item, self.in_line = found.item_id, found.in_line
            facts = Carried(named.run, named.tenant, named.parent, self.item)
        self.options["headers"][HEADER] = carried.write(facts)


_COLLECTED: ContextVar[list[Outgoing] | None] = ContextVar("papayya_celery_bulk", default=None)


@contextmanager
def collecting() -> Iterator[list[Outgoing]]:
    """Collect the messages that are published in this block instead of sending them."""
    collected: list[Outgoing] = []
    token = _COLLECTED.set(collected)
    try:
        yield collected
    finally:
        _COLLECTED.reset(token)


class _Producer:
    """A producer through which one message leaves; the rest is the real producer's."""

    def __init__(self, inst: Installation, producer: Any, body: Any) -> None:
        self._inst = inst
        self._producer = producer
        self._body = body
        self._out: Outgoing | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    @property
    def item(self) -> int | None:
        """The item that was made for the message."""
        return self._out.item if self._out is not None else None

    def publish(self, body: Any, **options: Any) -> Any:
        """Publish; Celery tries a message again through here, which is still one message."""
        if body is not self._body:
            return self._producer.publish(body, **options)
        if self._out is None:
            self._out = out = self._prepare(body, options)
            if out.one is not None and out.named is not None:
                if (collected := _COLLECTED.get()) is not None:
                    collected.append(out)
                    return None
                found = capture.capture([out.one], out.intake(self._inst))
                out.captured(found[0] if found else None)
        if self._out.in_line:  # the pump sends it
            return None
        self._out.options["retry"] = options.get("retry")
        return self._producer.publish(self._out.data, **self._out.options)

    def _prepare(self, body: Any, options: dict[str, Any]) -> Outgoing:
        headers = options["headers"]
        given, inherited = carried.read(headers), deliveries.inherited()
        args, kwargs, embed = body
        agent = self._inst.agent_name(headers["task"], args, kwargs)
        if agent is None or (given is not None and given.handed_back):
            if given is None:
                _pass_on(headers, args, inherited)
            return Outgoing(body, options)
        data, options = envelopes.serialize(body, options)
        delivery = deliveries.current()
        if delivery is not None and _is_again(delivery, headers):
            headers[HEADER] = carried.write(self._hand_over(delivery, data, options))
            return Outgoing(data, options)
        if delivery is not None and headers["id"] == delivery.request.id:
            delivery.replaced = True
        message = self._message(headers, args, kwargs)
        named = identity.name(
            self._inst, runtime().plugins, message, headers, _own_words(given), inherited
        )
        envelope = capture.envelope_of(self._inst.app, data, options)
        one = capture.submission(named, headers, args, kwargs, embed, envelope, deliveries.fired())
        if not (
            _is_told_again(delivery) or deliveries.is_on_behalf()
        ):  # else it may be sent already
            one = replace(one, again=_COLLECTED.get() is None)
        return Outgoing(data, options, agent, named, one)

    def _message(self, headers: dict[str, Any], args: Any, kwargs: Any) -> Message:
        task = self._inst.app.tasks.get(headers["task"])
        run = getattr(task, "run", None)
        return Message(headers["task"], headers["id"], tuple(args or ()), dict(kwargs or {}), run)

    def _hand_over(self, delivery: Delivery, data: Any, options: dict[str, Any]) -> Carried:
        """The worker sends its own item again: end its dispatch before the broker has the message."""
        execution, facts = delivery.execution, delivery.carried
        assert execution is not None  # noqa: S101 - see _is_again
        assert facts is not None  # noqa: S101
        envelope = capture.envelope_of(self._inst.app, data, options)
        headers, here = options["headers"], runtime()
        if (error := sys.exception()) is not None:  # why it is tried again
            surely(lambda: here.engine().doubt(execution, error))
        execution.leave()
        hand_over = partial(
            here.engine().store.hand_over,
            execution.item_id,
            execution.fence,
            envelope,
            reason=rules.storable(_why(headers)),
            delay=envelopes.delay_of(headers),
            resend=here.settings.lease_seconds,
            findings=execution.findings,
            cost_nusd=execution.cost_nusd,
            tokens=execution.tokens,
        )
        _, number = surely(hand_over)
        delivery.handed = True
        return Carried(facts.run, facts.tenant, facts.parent, facts.item, number)


def _pass_on(headers: dict[str, Any], args: Any, inherited: Carried | None) -> None:
    """Let a message that is no item carry its context to those that are.

    It may be what a chord was waited for; and who waits for a chord goes on with that chord's run.
    """
    block, waits = context.block_run(), headers["task"] == deliveries.UNLOCK
    if (cohort := deliveries.fired()) is not None and not waits:
        cohorts.note_fired(cohort)
    if inherited is None and block is not None:
        inherited = Carried(block.name, block.tenant)
    facts = inherited or Carried()
    if waits and facts.run is None and args:
        facts = replace(facts, run=str(args[0]))
    if facts != Carried():
        headers[HEADER] = carried.write(facts)


def _own_words(given: Carried | None) -> Carried | None:
    """Keep of a header what a caller may say; ids in it are of another message."""
    return Carried(given.run, given.tenant, None, key=given.key) if given else None


def _is_again(delivery: Delivery, headers: dict[str, Any]) -> bool:
    """Tell whether this message brings the item that is in hand to a worker again (a retry)."""
    request = delivery.request
    return (
        delivery.execution is not None
        and not delivery.handed
        and delivery.carried is not None
        and delivery.untold is None
        and headers["id"] == request.id
        and headers["task"] == request.task
        and (headers.get("replaced_task_nesting") or 0) == (request.replaced_task_nesting or 0)
    )


def _is_told_again(delivery: Delivery | None) -> bool:
    """Tell whether a worker only repeats the end of an item for Celery to act on."""
    return delivery is not None and delivery.execution is None and delivery.untold is not None


def _why(headers: dict[str, Any]) -> str:
    error = sys.exc_info()[1]
    what = f"retry {headers.get('retries', 0)}"
    return f"{what}: {rules.describe_error(error)}" if error is not None else what
