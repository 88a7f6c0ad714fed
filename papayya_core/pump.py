"""The pump: brings back what was lost, wakes what is due, and sends it again.

One leader at a time by a lease row, and one for each name that is sent under: a pump may not know the
queues of another. Every process that runs one also reports the owners that are certainly dead on its
own machine, leader or not: nobody else can know.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from papayya_core import owner as owners
from papayya_core import redaction, spool_replay
from papayya_core.carriers import Admitting, Holding, Tending, served
from papayya_core.contract import Send
from papayya_core.execution import live_fences
from papayya_core.outliers import OutlierWatch

if TYPE_CHECKING:
    from papayya_core.carriers import Carrier
    from papayya_core.plugins import Plugins
    from papayya_core.settings import Settings
    from papayya_core.store.store import Store

logger = redaction.logger("papayya.pump")

EVERY = 5.0
_BATCH = 500
_BATCHES = 20
_AHEAD = 0.25  # seconds of a limit that are let in at once
_SHORTEST, _LOOK = 0.1, 1.0  # seconds between two looks at who waits
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
    """What one turn of the pump did; ``again``: seconds until more items may be let in or out."""

    leading: bool
    swept: list[Swept]
    woken: int
    sent: int
    again: float | None = None


def _sooner(one: float | None, other: float | None) -> float | None:
    return min((each for each in (one, other) if each is not None), default=None)


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
        self._outliers = OutlierWatch(store, plugins, settings.outlier_score)

    def turn(self) -> Turn:
        """Sweep, wake and send once.

        When another pump leads: only the dead of this machine, and what no other can send.
        """
        spool_replay.adopt(self._settings.home, self._store.dsn)  # before its items run again
        dead = owners.dead(name for (name,) in self._store.fetch("live_owners", {}))
        leaked = self._leaked()
        leading = self._lead()
        swept: list[Swept] = []
        if leading or dead or leaked:
            swept = self._sweep(dead, leaked, silent=leading and self._is_fair())
        self._seen = time.time()
        if leading:
            quiet = self._settings.lease_seconds
            self._store.fetch("expire_holds", {"quiet": quiet, "limit": _BATCH})
            self._store.fetch("unpark", {"limit": _BATCH})
        led = self._led()
        woken, sent, again = self._bring(led, leading=leading)
        self._tend(led)
        if leading:
            self._outliers.look()
        return Turn(leading, swept, woken, sent, again)

    def hurry(self) -> Turn:
        """Do what cannot wait for the next turn: bring what is due, or let in at a rate limit."""
        leading = self._lead()
        return Turn(leading, [], *self._bring(self._led(), leading=leading))

    def _bring(self, led: dict[str, Carrier], *, leading: bool) -> tuple[int, int, float | None]:
        """Queue what waited, and send; return how many of each, and when to look again."""
        [[woken]] = self._store.fetch("wake", {"limit": _BATCH}) if leading else [[0]]
        again = _sooner(self._admit() if leading else None, self._let_out(led))
        sent = self._send(led)
        self._recall()
        return woken, sent, again

    def _admit(self) -> float | None:
        """Let items in that wait for rate limits."""
        [[_, again]] = self._store.fetch("admit", {"ahead": _AHEAD, "limit": _BATCH})
        return again if again is None else float(again)

    def _recall(self) -> None:
        """Wake what loops of this process hold back, whoever has queued, parked or ended it."""
        for carrier in self._plugins.carriers().values():
            if isinstance(carrier, Holding) and (held := carrier.held()):
                for (item,) in self._store.fetch("gone_on", {"items": held}):
                    carrier.wake(item)

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

    def _lead(self, role: str = "pump") -> bool:
        params = {"role": role, "owner": self._owner, "lease": _TURNS_LED * self._every}
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

    def _led(self) -> dict[str, Carrier]:
        """Return the carriers by the names that this pump leads: who serves them sends for all."""
        found = served(self._plugins.carriers().values())
        return {name: carrier for name, carrier in found.items() if self._lead(f"send {name}")}

    def _let_out(self, led: dict[str, Carrier]) -> float | None:
        """Let carriers make due what they hold back."""
        again: float | None = None
        for carrier in {id(one): one for one in led.values()}.values():
            if isinstance(carrier, Admitting):
                names = [name for name, one in led.items() if one is carrier]
                try:
                    again = _sooner(again, carrier.admit(self._store, names))
                except Exception:
                    logger.exception(
                        "carrier %s could not let items out; again later", carrier.name
                    )
        return again

    def _tend(self, led: dict[str, Carrier]) -> None:
        """Let carriers look after their own books, a few times per lease."""
        now = time.monotonic()
        if now < self._tend_at:
            return
        self._tend_at = now + self._settings.lease_seconds / 4
        quiet = self._settings.lease_seconds / 2
        for carrier in {id(one): one for one in led.values()}.values():
            if isinstance(carrier, Tending):
                names = [name for name, one in led.items() if one is carrier]
                try:
                    carrier.tend(self._store, names, quiet, self._plugins.encoders)
                except Exception:
                    what = "carrier %s could not look after itself; again later"
                    logger.exception(what, carrier.name)

    def _send(self, led: dict[str, Carrier]) -> int:
        """Send what is due, a batch after the other for as long as there is a full one."""
        sent = 0
        for _ in range(_BATCHES):
            count = self._send_batch(led)
            sent += count
            if count < _BATCH:
                break
        return sent

    def _send_batch(self, led: dict[str, Carrier]) -> int:
        if not led:
            return 0
        params = {
            "carriers": list(led),
            "backoff": self._settings.lease_seconds,
            "limit": _BATCH,
        }
        batches: dict[str, list[Send]] = defaultdict(list)
        for row in self._store.fetch("claim_sends", params):
            batches[row[3]].append(Send(*row))
        for name, sends in batches.items():
            try:
                led[name].send(sends)
            except Exception:
                logger.exception(
                    "carrier %s could not send %d items; again later", name, len(sends)
                )
        return sum(map(len, batches.values()))

    def run(self, stop: threading.Event, every: float | None = None) -> None:
        """Take turns until ``stop`` is set; a turn that fails is logged and tried again."""
        self._every = self._every if every is None else every
        whole_at = 0.0
        while not stop.is_set():
            wait = self._every
            try:
                if time.monotonic() >= whole_at:
                    whole_at = time.monotonic() + self._every
                    turn = self.turn()
                else:
                    turn = self.hurry()
                if turn.again is not None:
                    wait = min(wait, max(_SHORTEST, turn.again))
                else:
                    wait = min(wait, _LOOK)  # somebody may have begun to wait
            except Exception:
                logger.exception("the pump's turn failed; trying again in %.0f s", self._every)
            stop.wait(wait)
