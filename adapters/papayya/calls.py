# Generated from adapters/papayya/calls_async.py by tools/unasync.py: do not edit, run `make generate`.
"""A bare call of an agent: one item, and the function's own result or exception."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papayya import endings, limits, loops, off, runs
from papayya.items import Items, Later
from papayya.submissions import Job, Prepared, prepare, refuse
from papayya_core import context, redaction, rules, sync
from papayya_core.checks import Identity
from papayya_core.runtime import Runtime, runtime

if TYPE_CHECKING:
    from papayya.agents import AgentFunction
    from papayya_core.contract import Run, Submission
    from papayya_core.execution import Execution

logger = redaction.logger("papayya")


def call(agent: AgentFunction[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run one item and return what the function returned.

    An exception of the function passes unchanged. Raises ItemParked, ItemFailed, ItemWasCancelled,
    ItemTookTooLong or ItemTakenOver when Papayya ended the item.
    """
    here = runtime()
    if here.settings.mode == "off":
        return _call_off(agent, args, kwargs)
    parent = context.current()
    named = runs.named_run()
    run = named or runs.ambient().run(agent.definition.name)
    runs.cap(here, run, agent.definition)
    one = _prepared(here, agent.definition.name, run, parent, args, kwargs)
    submission = _numbered(one.submission, agent.definition.name, run, parent)

    engine = here.engine()
    ref = here.register(agent.definition)
    items = Items(engine, run, agent.definition, ref, limits.limited(agent))
    captured, opened = engine.store.enter(
        run.id, ref, submission, max_seconds=agent.definition.max_seconds
    )
    job = Job(captured.item_id, submission.tenant, captured.key, captured.ordinal, args, kwargs)
    job.unstored = one.unstored
    result = items.proceed(job, opened)
    while isinstance(result, Later):
        here.start_pump()  # it lets in what waits for a rate limit
        loops.pause(job.item_id, result.delay)
        result = items.attempt(job)
    return endings.unwrap(result, parent, run)


def _call_off(agent: AgentFunction[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    execution = off.execution(agent.definition)
    with context.executing(execution):
        return execution.output_or(sync.call(agent.fn, args, kwargs))


def _prepared(
    here: Runtime,
    agent: str,
    run: Run,
    parent: Execution | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Prepared:
    """Name the item of a call; one that cannot be named is counted, and ends as failed."""
    encoders, limit = here.plugins.encoders, here.settings.max_payload_bytes
    parent_id = parent.item_id if parent else None
    try:
        identity = _in_context(here.plugins.identify(agent, args, kwargs), run, parent)
        return prepare(args, kwargs, identity, encoders, limit, parent_id)
    except Exception as error:  # noqa: BLE001 - a plugin's code
        reason = f"it could not be named: {rules.describe_error(error)}"
        return refuse(args, reason, encoders, limit)


def _in_context(identity: Identity, run: Run, parent: Execution | None) -> Identity:
    """A nested call is for its parent's tenant; a run may be for one tenant as a whole."""
    tenant = identity.tenant or (parent.tenant if parent else run.tenant)
    return Identity(tenant, identity.item)


def _numbered(one: Submission, agent: str, run: Run, parent: Execution | None) -> Submission:
    """Say which item it is when its key was seen before.

    Inside another item: the n-th call of this agent with this key by that item. In an explicit
    run: the same item, if the input is the same. Else: another item, and a warning.
    """
    from dataclasses import replace

    if parent is not None:
        ordinal = parent.child_ordinal(agent, one.key)
        key = f"{parent.shown_key}/{one.key}"
        return replace(
            one,
            key=key if len(key) <= rules.NAME_LIMIT else f"in-{one.digest.hex()[:32]}",
            ordinal=ordinal,
        )
    if run.explicit:
        return one
    ordinal = runs.ambient().occurrences.next(agent, one.tenant, one.key)
    if ordinal > 1:
        logger.warning(
            "%s was called again with %r: this is another item, %s#%d. Open a run to make equal "
            "inputs one item.",
            agent,
            one.key,
            one.key,
            ordinal,
        )
    return replace(one, ordinal=ordinal)
