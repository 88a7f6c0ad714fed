"""The pump: brings back what was lost, wakes what is due, and sends it again.

One leader at a time by a lease row. Every process that runs one also reports the owners that are
certainly dead on its own machine, leader or not: nobody else can know.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from papayya_core import owner as owners
from papayya_core.carriers import Tending
from papayya_core.contract import Send
from papayya_core.execution import live_fences

if TYPE_CHECKING:
    from papayya_core.plugins import Plugins
    from papayya_core.settings import Settings
    from papayya_core.store.store import Store

logger = logging.getLogger("papayya.pump")

EVERY = 5.0
_BATCH = 500
_BATCHES = 20
_TURNS_LED = 4  # so many turns may a leader be late
_TURNS_SEEN = 3  # so many turns without one mean that Postgres, or this process, was away


class Swept(NamedTuple):
    """An item whose worker was lost, and what became of it."""

    item_id: int
    key: str
    run: str
    locked_by: str
    state: str
    reason: str | None


class Turn(NamedTuple):
    """What one turn of the pump did."""

    leading: bool
    swept: list[Swept]
    woken: int
    sent: int


class Pump:
    """Takes turns; see ``turn``."""

    def __init__(self, store: Store, plugins: Plugins, settings: Settings, owner: str) -> None:
        self._store = store
        self._plugins = plugins
        self._settings = settings
        self._owner = owner
        self._every = min(EVERY, settings.lease_seconds / 4)  # short leases end unseen otherwise
        self._seen: float | None = None  # the end of the last turn
        self._calm_until = 0.0
        self._idle: set[int] = set()
        self._tend_at = 0.0

    def turn(self) -> Turn:
        """Sweep, wake and send once; only the dead of this machine when another pump leads."""
        dead = owners.dead(name for (name,) in self._store.fetch("live_owners", {}))
        leaked = self._leaked()
        leading = self._lead()
        if not leading and not dead and not leaked:
            self._seen = time.time()
            return Turn(False, [], 0, 0)
        swept = self._sweep(dead, leaked, silent=leading and self._is_fair())
        self._seen = time.time()
        if not leading:
            return Turn(False, swept, 0, 0)
        [[woken]] = self._store.fetch("wake", {"limit": _BATCH})
        sent = self._send()
        self._tend()
        return Turn(True, swept, woken, sent)

    def _leaked(self) -> list[int]:
        """List own dispatches that nobody here is at work under: the heartbeat renews them in vain.

        Two turns must agree, as the answer to an open may just be on its way.
        """
        rows = self._store.fetch("own_fences", {"owner": self._owner})
        idle = {fence for (fence,) in rows} - live_fences()
        leaked = idle & self._idle
        self._idle = idle
        return sorted(leaked)

    def _is_fair(self) -> bool:
        """Tell whether silent workers had their chance to renew.

        After a time without Postgres (or a suspended machine) nobody had: they get one lease.
        """
        now = time.time()
        if self._seen is not None and now - self._seen > max(
            _TURNS_SEEN * self._every, self._settings.heartbeat_seconds
        ):
            self._calm_until = now + self._settings.lease_seconds
        return now >= self._calm_until

    def _lead(self) -> bool:
        params = {"role": "pump", "owner": self._owner, "lease": _TURNS_LED * self._every}
        [[leading]] = self._store.fetch("lead", params)
        return bool(leading)

    def _sweep(self, dead: list[str], leaked: list[int], *, silent: bool) -> list[Swept]:
        params = {
            "dead": dead,
            "silent": silent,
            "max_deliveries": self._settings.max_deliveries,
            "limit": _BATCH,
            "fences": leaked,
        }
        return [Swept(*row) for row in self._store.fetch("sweep", params)]

    def _tend(self) -> None:
        """Let carriers look after their own books, a few times per lease."""
        now = time.monotonic()
        if now < self._tend_at:
            return
        self._tend_at = now + self._settings.lease_seconds / 4
        for name, carrier in self._plugins.carriers().items():
            if isinstance(carrier, Tending) and _is_ready(name, carrier):
                try:
                    quiet = self._settings.lease_seconds / 2
                    carrier.tend(self._store, quiet, self._plugins.encoders)
                except Exception:
                    logger.exception("carrier %s could not look after itself; again later", name)

    def _send(self) -> int:
        """Send what is due, a batch after the other for as long as there is a full one."""
        sent = 0
        for _ in range(_BATCHES):
            count = self._send_batch()
            sent += count
            if count < _BATCH:
                break
        return sent

    def _send_batch(self) -> int:
        carriers = {name: c for name, c in self._plugins.carriers().items() if _is_ready(name, c)}
        if not carriers:
            return 0
        params = {
            "carriers": list(carriers),
            "backoff": self._settings.lease_seconds,
            "limit": _BATCH,
        }
        batches: dict[str, list[Send]] = defaultdict(list)
        for row in self._store.fetch("claim_sends", params):
            batches[row[3]].append(Send(*row))
        for name, sends in batches.items():
            try:
                carriers[name].send(sends)
            except Exception:
                logger.exception(
                    "carrier %s could not send %d items; again later", name, len(sends)
                )
        return sum(map(len, batches.values()))

    def run(self, stop: threading.Event, every: float | None = None) -> None:
        """Take turns until ``stop`` is set; a turn that fails is logged and tried again."""
        self._every = self._every if every is None else every
        while not stop.is_set():
            try:
                self.turn()
            except Exception:
                logger.exception("the pump's turn failed; trying again in %.0f s", self._every)
            stop.wait(self._every)


def _is_ready(name: str, carrier: Any) -> bool:
    try:
        return bool(carrier.ready())
    except Exception:
        logger.exception("carrier %s cannot tell whether it is ready; again later", name)
        return False
