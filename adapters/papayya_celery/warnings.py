"""What a worker is told at its start about settings that do not go together with us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from papayya_core import redaction
from papayya_core.errors import PapayyaError, StoreUnavailable
from papayya_core.runtime import runtime

if TYPE_CHECKING:
    from papayya_celery.apps import Installation

logger = redaction.logger("papayya.celery")
_GREEN = ("celery.concurrency.gevent", "celery.concurrency.eventlet")


def _refuse(why: str) -> NoReturn:
    """End the worker: what a signal's receiver raises otherwise is swallowed."""
    raise SystemExit(f"papayya: {why}")


def check(inst: Installation, worker: Any) -> None:
    """Refuse what cannot work, warn of what works badly."""
    _check_database()
    pool = getattr(worker.pool_cls, "__module__", "")
    conf = inst.app.conf
    if pool == "celery.concurrency.eventlet":
        _refuse("papayya_celery does not run in the eventlet pool: use --pool=gevent or threads")
    if conf.task_protocol == 1:
        _refuse("papayya_celery needs task_protocol = 2, Celery's default")
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


def _check_database() -> None:
    """Refuse a database that has to be migrated; wait for one that is away."""
    if runtime().settings.mode == "off":
        return
    try:
        _ = runtime().dsn
    except StoreUnavailable as error:
        logger.warning("%s Tasks wait for it.", error)
    except PapayyaError as error:
        _refuse(str(error))
