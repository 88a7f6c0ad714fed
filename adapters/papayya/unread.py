"""Which maps were not read to their end: a run with one of them must not be sealed."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from papayya_core.contract import Run

_mutex = threading.Lock()
_unread: defaultdict[int, set[Reading]] = defaultdict(set)


def of(run_id: int) -> frozenset[Reading]:
    """Return the maps of a run that this process made and has not read to their end."""
    with _mutex:
        return frozenset(_unread.get(run_id, ()))


class Reading:
    """How far one map got with its input. It counts as unread from the moment it is made."""

    def __init__(self, agent: str, run: Run | None) -> None:
        self.agent = agent
        self.run: Run | None = None
        self.begun = False
        self._others: frozenset[Reading] = frozenset()
        if run is not None:
            self.join(run)

    def join(self, run: Run) -> None:
        """Belong to a run."""
        self.run = run
        with _mutex:
            self._others = frozenset(_unread[run.id])
            _unread[run.id].add(self)

    def end(self) -> bool:
        """Note that all was read; tell whether that is so of all maps begun since, too."""
        if self.run is None:
            return True
        with _mutex:
            unread = _unread[self.run.id]
            unread.discard(self)
            whole = unread <= self._others
            if not unread:
                del _unread[self.run.id]
            return whole
