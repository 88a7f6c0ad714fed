"""What a worker is told at its start about settings that do not go together with us."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from papayya_celery.apps import Installation

logger = logging.getLogger("papayya.celery")
_GREEN = ("celery.concurrency.gevent", "celery.concurrency.eventlet")


def check(inst: Installation, worker: Any) -> None:
    """Refuse what cannot work, warn of what works badly."""
    pool = getattr(worker.pool_cls, "__module__", "")
    conf = inst.app.conf
    if pool == "celery.concurrency.eventlet":
        msg = "papayya_celery does not run in the eventlet pool; use --pool=gevent or threads"
        raise ImproperlyConfigured(msg)
    if conf.task_protocol == 1:
        msg = "papayya_celery needs task_protocol = 2, Celery's default"
        raise ImproperlyConfigured(msg)
    if pool in _GREEN and str(conf.broker_url or "").startswith(("redis", "rediss", "sentinel")):
        most = (conf.broker_transport_options or {}).get("max_connections", 10)
        if most < worker.concurrency:
            logger.warning(
                "%d greenlets acknowledge late over %d Redis connections, which leaves messages "
                'unacknowledged: set broker_transport_options = {"max_connections": %d}',
                worker.concurrency,
                most,
                max(100, 2 * worker.concurrency),
            )
