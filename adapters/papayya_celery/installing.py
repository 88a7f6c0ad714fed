"""The one line: ``papayya_celery.install(app, …)``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from celery.local import Proxy

from papayya_celery import apps, patches, worker
from papayya_celery.apps import Installation, Only
from papayya_celery.naming import Choice, check_choice
from papayya_core import redaction

if TYPE_CHECKING:
    from celery import Celery

logger = redaction.logger("papayya.celery")


def install(
    app: Celery,
    *,
    tenant: Choice = None,
    item: Choice = None,
    run: Choice = None,
    only: Only = None,
    recover: Mapping[str, bool] | None = None,
    pump: bool = True,
    admission: int | None = None,
) -> None:
    """Make the tasks of an app items, before or after they are defined.

    ``tenant``, ``item``, ``run``: the name of a task's argument, a path into it
    (``"doc.owner.id"``), or a function of the ``Message``; tasks without such an argument inherit
    tenant and run, and their item is named by the task's id. ``only``: patterns of task names
    (``"billing.*"``), or a function of the name; without it every task but Celery's own.
    ``recover``: patterns of tasks whose body must not be run twice, with False: an item whose
    worker died in it fails instead. ``pump``: whether this app's workers also send again what is
    due or lost. ``admission``: so many messages of a tenant may be with the broker at a time; the
    others wait in Postgres, and the pump sends them, the tenants in turn. None: all may.
    """
    if admission is not None and (isinstance(admission, bool) or admission < 1):
        msg = f"admission= is how many messages of a tenant the broker may have, not {admission!r}"
        raise ValueError(msg)
    for choice, what in ((tenant, "tenant"), (item, "item"), (run, "run")):
        check_choice(choice, what)
    if only is not None and not callable(only):
        only = (only,) if isinstance(only, str) else tuple(only)
    if isinstance(app, Proxy):  # celery.current_app
        app = app._get_current_object()  # noqa: SLF001
    if apps.of(app) is not None:
        logger.warning("papayya_celery.install was called again on this app; the last call counts")
    inst = Installation(app, tenant, item, run, only, dict(recover or {}), pump, admission)
    apps.remember(inst)
    patches.apply()
    patches.wrap_existing_sender(app)
    worker.connect()
