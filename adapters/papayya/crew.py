"""The threads of a map: what they hold, what is ready for them, and what waits for its time."""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from papayya import loops
from papayya.items import Items
from papayya.submissions import Job
from papayya.turns import Turns

CHUNK = 1000  # inputs that are submitted together
AHEAD = 2  # more of a stream is read when fewer items than so many times the concurrency are ready
TICK = 0.5
_GRACE = 0.25  # seconds a body may take to notice by itself that its time is up
_LOOK = 0.005
_ROOM = 64  # items of a tenant that are held back: more than a limit lets in between two looks


class Crew:
    """Worker threads, what they hold, and what waits for its time."""

    def __init__(self, items: Items, concurrency: int) -> None:
        self._items = items
        self._ready: Turns[Job] = Turns()
        self._calls: queue.SimpleQueue[bool] = queue.SimpleQueue()  # one for each that is ready
        self._later: list[tuple[float, int, Job]] = []
        self._waiting: Counter[str] = Counter()  # of these, by tenant
        self._order = itertools.count()
        self.out: queue.Queue[tuple[Job, Any]] = queue.Queue(maxsize=concurrency * 4)
        self.running: dict[int, tuple[Job, float]] = {}
        self.stopping = False
        for _ in range(concurrency):
            self.hire()

    def hire(self) -> None:
        threading.Thread(target=self._work, name="papayya-map", daemon=True).start()

    def _work(self) -> None:
        while self._calls.get():
            try:
                job = self._ready.take()
            except LookupError:
                continue  # what this was for stands, until its tenant's turn comes again
            job.execution = None  # of an earlier delivery
            self.running[job.item_id] = (job, time.monotonic())  # before the look: finish() waits
            if self.stopping:
                del self.running[job.item_id]
                self._give(job, None)
                continue
            try:
                result: Any = self._items.attempt(job)
            except BaseException as error:  # noqa: BLE001 - the map's own thread raises it
                result = error
            if self.running.pop(job.item_id, None) is None:
                return  # given up on meanwhile; another thread works in its place
            self._give(job, result)

    def _give(self, job: Job, result: Any) -> None:
        """Hand a result over; once the map is stopping, only if there is room."""
        while True:
            try:
                self.out.put((job, result), block=not self.stopping, timeout=TICK)
            except queue.Full:
                if self.stopping:
                    return
            else:
                return

    def add(self, job: Job, *, back: bool = False) -> None:
        """Make a job ready; ``back``: it was begun, and comes back from a wait."""
        self._ready.put(job.tenant, job, first=back)
        self._calls.put(True)

    def add_later(self, job: Job, delay: float) -> None:
        """Hold a job back. Where many of a tenant are, no more of its items are begun for now."""
        loops.hold(job.item_id)
        self._waiting[job.tenant] += 1
        if self._waiting[job.tenant] >= _ROOM:
            self._ready.rest(job.tenant)
        heapq.heappush(self._later, (time.monotonic() + delay, next(self._order), job))

    def is_short(self, ahead: int) -> bool:
        """Tell whether more of a stream is to be read: little is ready, and not too much stands."""
        return len(self._ready) < ahead and self._ready.standing() < CHUNK

    def promote(self) -> float:
        """Make what is due ready; return the seconds until something else will be."""
        now = time.monotonic()
        if loops.any_woken() and any(loops.is_woken(job.item_id) for _, _, job in self._later):
            self._later = [
                (0.0 if loops.is_woken(j.item_id) else t, n, j) for t, n, j in self._later
            ]
            heapq.heapify(self._later)
        while self._later and self._later[0][0] <= now:
            job = heapq.heappop(self._later)[2]
            loops.let_go(job.item_id)
            self.add(job, back=True)
            self._come_back(job.tenant)
        return min(TICK, self._later[0][0] - now) if self._later else TICK

    def _come_back(self, tenant: str) -> None:
        self._waiting[tenant] -= 1
        if self._waiting[tenant] == _ROOM - 1:
            for _ in range(self._ready.go_on(tenant)):
                self._calls.put(True)

    def overdue(self, max_seconds: float | None) -> list[Job]:
        """Take the jobs from their threads whose bodies do not come back."""
        if max_seconds is None:
            return []
        limit = time.monotonic() - max_seconds - _GRACE
        late = [job for job, began in list(self.running.values()) if began < limit]
        return [job for job in late if self.running.pop(job.item_id, None) is not None]

    def leased(self, patience: float) -> Iterator[Job]:
        """Yield what is under way; what is just being leased, once it is: else nobody gives it back."""
        until = time.monotonic() + patience
        for job, _ in list(self.running.values()):
            while (
                job.execution is None and job.item_id in self.running and time.monotonic() < until
            ):
                time.sleep(_LOOK)
            yield job

    def stop(self) -> None:
        """Start nothing more."""
        self.stopping = True

    def dismiss(self) -> None:
        """Let the threads go."""
        for _ in range(self.out.maxsize):
            self._calls.put(False)
        for _, _, job in self._later:
            loops.let_go(job.item_id)
        self._later.clear()
