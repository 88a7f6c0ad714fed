"""The item of a message: found by its header, or made on arrival."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from papayya_celery import capture, carried, deliveries, envelopes, identity
from papayya_celery.carried import Carried
from papayya_celery.naming import Message
from papayya_core import redaction
from papayya_core.contract import AgentRef, Opened, Whose
from papayya_core.runtime import runtime

if TYPE_CHECKING:
    from celery import Task

    from papayya_celery.apps import Installation
    from papayya_celery.deliveries import Delivery
    from papayya_core.contract import Agent

logger = redaction.logger("papayya.celery")
_PICKLE = frozenset({"pickle", "application/x-python-serialize"})


class Received(NamedTuple):
    """The answer to a message: the item, whose it is, and how it may go on."""

    item_id: int
    agent: Agent
    opened: Opened
    whose: Whose


def open_item(
    inst: Installation,
    task: Task[..., Any],
    name: str,
    delivery: Delivery,
    *,
    takeover: bool = False,
) -> Received:
    """Lease the item of a message. Without one, or with one of another database, make it."""
    here, request = runtime(), delivery.request
    agent = inst.agent(name, task)
    ref = here.register(agent)
    most = None if inst.recovers(task) else 1
    header = delivery.carried
    if header is not None and header.item is not None:
        received = _receive(request, header, agent, ref, most, takeover=takeover)
        if received.opened.verdict != "unknown":
            delivery.carried = _known(header, received.whose)
            return received
    made = _make(inst, task, name, request, header)
    delivery.carried = made
    return _receive(request, made, agent, ref, most, takeover=takeover)


def _receive(
    request: Any, header: Carried, agent: Agent, ref: AgentRef, most: int | None, *, takeover: bool
) -> Received:
    assert header.item is not None  # noqa: S101 - the callers see to it
    digest = carried.digest(request.id, request.replaced_task_nesting or 0)
    opened, whose = (
        runtime()
        .engine()
        .store.receive(
            header.item,
            ref,
            digest=digest,
            dispatch_no=header.no,
            takeover=takeover,
            max_deliveries=most,
        )
    )
    return Received(header.item, agent, opened, whose)


def _known(header: Carried, whose: Whose) -> Carried:
    """Believe Postgres rather than the header."""
    return Carried(whose.run, whose.tenant, header.parent, header.item, header.no)


def _make(
    inst: Installation, task: Task[..., Any], name: str, request: Any, header: Carried | None
) -> Carried:
    """Make the item of a message whose publisher did not; the same message makes the same item."""
    here = runtime()
    embed = {what: getattr(request, what, None) for what in ("callbacks", "chord")}
    facts = dict(request.__dict__) | {"id": request.id}
    message = Message(task.name, request.id, tuple(request.args or ()), request.kwargs, task.run)
    inherited = deliveries.inherited() if request.is_eager else header
    named = identity.name(inst, here.plugins, message, facts, header, inherited)
    envelope = None if request.is_eager else _envelope(inst, request)
    one = capture.submission(named, facts, message.args, message.kwargs, embed, envelope)
    if request.is_eager:  # nothing brings it a second time but its caller
        one = replace(one, again=True)
    [found] = here.engine().store.publish([one], capture.intake(named, name))
    return Carried(named.run, named.tenant, named.parent, found.item_id)


def _envelope(inst: Installation, request: Any) -> Any:
    conf = inst.app.conf
    body, options = envelopes.of_request(request, conf.task_default_queue)
    serializers = [conf.task_serializer]
    if _PICKLE & set(conf.accept_content or ()):
        serializers.append("pickle")
    found = envelopes.serialize_alike(body, options, serializers)
    if found is None:
        what = (
            "message %s, which came without an item, cannot be sent again: no serializer takes it"
        )
        logger.warning(what, request.id)
        return None
    return capture.envelope_of(inst.app, *found)
