"""Outliers while they happen: the pump looks at what is under way, and tells of what stands out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from papayya_core import redaction
from papayya_core.contract import Finding, ItemState, Outcome, Transition

if TYPE_CHECKING:
    from papayya_core.plugins import Plugins
    from papayya_core.store.store import Store

logger = redaction.logger("papayya.pump")

EVERY = 10.0  # seconds between two looks
_FIRST = 60.0  # seconds that the first look goes back
_MOST = 100  # of a run and measure, told of at one look


class Outlier(NamedTuple):
    """An item that has newly passed the score; ``evidence``: measure, value, median, score."""

    run: str
    tenant: str
    agent: str
    key: str
    item_id: int
    state: ItemState
    outcome: Outcome | None
    cost_nusd: int
    reason: str
    evidence: dict[str, Any]

    def transition(self) -> Transition:
        """Say it as observers are told."""
        found = Finding("outlier", "note", self.reason, self.evidence)
        what = (self.run, self.tenant, self.agent, self.key, self.item_id, self.state, self.outcome)
        return Transition(*what, self.reason, self.cost_nusd, (found,), "outlier")


class OutlierWatch:
    """Looks now and then; ``score`` 0 never does."""

    def __init__(self, store: Store, plugins: Plugins, score: float) -> None:
        self._store = store
        self._plugins = plugins
        self._score = score
        self._looked: float | None = None
        self._seen: float | None = None  # the last look that was possible

    def look(self) -> list[Outlier]:
        """Note items that newly stand out, and tell observers; nothing when it is not yet time.

        What was noted is told once, also when this process ends in between: then not at all.
        """
        now = time.monotonic()
        if not self._score or (self._looked is not None and now - self._looked < EVERY):
            return []
        back = _FIRST if self._seen is None else now - self._seen + 1.0
        self._looked = now
        params = {"score": self._score, "seconds": back, "limit": _MOST}
        try:
            found = [Outlier(*row) for row in self._store.fetch("find_outliers", params)]
        except Exception:  # nobody's work depends on it
            logger.exception("no look at outliers was possible; again later")
            return []
        self._seen = now
        for one in found:
            self._plugins.on_transition(one.transition())
        return found
