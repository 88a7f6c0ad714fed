"""Which run, tenant and item a message is of, from all that may say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from papayya_celery.naming import Choice, Message, choose
from papayya_core import context, redaction, rules
from papayya_core.contract import UNATTRIBUTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papayya_celery.apps import Installation
    from papayya_celery.carried import Carried
    from papayya_core.plugins import Plugins

logger = redaction.logger("papayya.celery")
_said: set[tuple[str, str]] = set()


class Named(NamedTuple):
    """The names of a message. ``seal``: its run has no other input than this message."""

    run: str
    label: str
    seal: bool
    tenant: str
    key: str
    parent: int | None
    carrier: str


def name(
    inst: Installation,
    plugins: Plugins,
    message: Message,
    headers: Mapping[str, Any],
    given: Carried | None,
    inherited: Carried | None,
) -> Named:
    """Name a message: by its header, by the app's own rules, by its context, by Celery's ids.

    A rule that raises decides nothing: the message goes its way, and the log says why.
    """
    block = context.block_run()
    found = _identify(plugins, message)
    run = (
        (given and given.run)
        or _choose(inst.run, message, "run")
        or (inherited.run if inherited and context.current() else None)
        or (block.name if block else None)
        or (inherited and inherited.run)
    )
    tenant = (
        (given and given.tenant)
        or _choose(inst.tenant, message, "tenant")
        or found[0]
        or (block.tenant if block else None)
        or (inherited and inherited.tenant)
        or UNATTRIBUTED
    )
    key = (given and given.key) or _choose(inst.item, message, "item") or found[1] or message.id
    own = headers.get("root_id") or message.id
    if not headers.get("parent_id"):
        own = headers.get("group") or own
    parent = given.parent if given and given.parent else inherited and inherited.parent
    return Named(run or own, message.task, run is None, tenant, key, parent or None, inst.carrier)


def _choose(choice: Choice, message: Message, what: str) -> str | None:
    try:
        return choose(choice, message, what)
    except Exception as error:  # noqa: BLE001 - the user's rule
        _warn(message.task, what, error)
        return None


def _identify(plugins: Plugins, message: Message) -> tuple[str | None, str | None]:
    try:
        found = plugins.identify(message.task, message.args, dict(message.kwargs))
        for value, what in ((found.tenant, "a tenant"), (found.item, "an item's key")):
            if value is not None:
                rules.check_name(value, what)
    except Exception as error:  # noqa: BLE001 - a plugin
        _warn(message.task, "identify", error)
        return None, None
    return found.tenant, found.item


def _warn(task: str, what: str, error: Exception) -> None:
    if (task, what) not in _said:
        _said.add((task, what))
        logger.warning(
            "%s= cannot name a message of %s (%s): it goes on without; this is said once",
            what,
            task,
            rules.describe_error(error),
        )
