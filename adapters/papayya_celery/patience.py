"""Writes that nobody else can make up for: the end of what a worker has in hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from psycopg_pool import PoolClosed

from papayya_core import redaction
from papayya_core.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

logger = redaction.logger("papayya.celery")
T = TypeVar("T")


def surely(write: Callable[[], T]) -> T:
    """Write the end of a dispatch, however long Postgres is away; the slot waits meanwhile.

    Its lease is renewed for as long as its process lives: left open it would be held for ever.
    Raises StoreUnavailable only where this process has closed its connections.
    """
    while True:
        try:
            return write()
        except StoreUnavailable as error:
            if isinstance(error.__cause__, PoolClosed):
                raise
            logger.warning("an end cannot be written yet; its slot waits: %s", error)
