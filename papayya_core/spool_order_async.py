"""Nothing of an item may overtake what is spooled of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from papayya_core import aio
from papayya_core.errors import StoreUnavailable

if TYPE_CHECKING:
    from papayya_core.spool import Spool

_EVERY = 0.02
HURRY = 3.0  # seconds that somebody waits who has an answer in hand, or may go on without


def hurry(patience: float) -> float:
    """Cut a patience short."""
    return min(HURRY, patience)


async def in_order_async(spool: Spool | None, item: int, patience: float) -> None:
    """Wait until all that is spooled of an item is replayed. Raises StoreUnavailable."""
    if spool is None or not spool.is_behind(item):
        return
    until = time.monotonic() + patience
    while spool.is_behind(item):
        if time.monotonic() > until:
            raise StoreUnavailable(
                f"what was spooled of this item could not be replayed for {patience:g} s:"
                " `papayya spool` lists it, `papayya doctor` checks the database"
            )
        await aio.sleep(_EVERY)
