"""``agent.map``: items side by side in threads, one ItemResult each, in the order they end."""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from papayya import loops, off, runs
from papayya.intake import Intake
from papayya.items import Items, Later
from papayya.say import say
from papayya.submissions import Job, Pick
from papayya_core.contract import ItemResult, Run
from papayya_core.errors import ItemTimedOut
from papayya_core.runtime import Runtime, runtime

if TYPE_CHECKING:
    from papayya.agents import AgentFunction

CHUNK = 1000
AHEAD = (
    2  # chunks of a stream are read when fewer than this many times the concurrency items are ready
)
_GRACE = 0.25  # seconds a body may take to notice by itself that its time is up
_TICK = 0.5


class _Crew:
    """Worker threads, what they hold, and what waits for its time."""

    def __init__(self, items: Items, concurrency: int) -> None:
        self._items = items
        self._ready: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._later: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self.out: queue.Queue[tuple[Job, Any]] = queue.Queue(maxsize=concurrency * 4)
        self.running: dict[int, tuple[Job, float]] = {}
        self.stopping = False
        for _ in range(concurrency):
            self.hire()

    def hire(self) -> None:
        threading.Thread(target=self._work, name="papayya-map", daemon=True).start()

    def _work(self) -> None:
        while (job := self._ready.get()) is not None:
            self.running[job.item_id] = (job, time.monotonic())  # before the look: finish() waits
            if self.stopping:
                del self.running[job.item_id]
                self.out.put((job, None))
                continue
            try:
                result: Any = self._items.attempt(job)
            except BaseException as error:  # noqa: BLE001 - the map's own thread raises it
                result = error
            if self.running.pop(job.item_id, None) is None:
                return  # given up on meanwhile; another thread works in its place
            self.out.put((job, result))

    def add(self, job: Job) -> None:
        self._ready.put(job)

    def add_later(self, job: Job, delay: float) -> None:
        loops.hold(job.item_id)
        heapq.heappush(self._later, (time.monotonic() + delay, next(self._order), job))

    def ready(self) -> int:
        return self._ready.qsize()

    def promote(self) -> float:
        """Make what is due ready; return the seconds until something else will be."""
        now = time.monotonic()
        if any(loops.is_woken(job.item_id) for _, _, job in self._later):
            self._later = [
                (0.0 if loops.is_woken(j.item_id) else t, n, j) for t, n, j in self._later
            ]
            heapq.heapify(self._later)
        while self._later and self._later[0][0] <= now:
            job = heapq.heappop(self._later)[2]
            loops.let_go(job.item_id)
            self.add(job)
        return min(_TICK, self._later[0][0] - now) if self._later else _TICK

    def overdue(self, max_seconds: float | None) -> list[Job]:
        """Take the jobs from their threads whose bodies do not come back."""
        if max_seconds is None:
            return []
        limit = time.monotonic() - max_seconds - _GRACE
        late = [job for job, began in list(self.running.values()) if began < limit]
        return [job for job in late if self.running.pop(job.item_id, None) is not None]

    def stop(self) -> None:
        """Start nothing more."""
        self.stopping = True

    def dismiss(self) -> None:
        """Let the threads go."""
        for _ in range(self.out.maxsize):
            self._ready.put(None)


class Mapping:
    """One map: its run, its intake and its crew."""

    def __init__(
        self,
        here: Runtime,
        agent: AgentFunction[Any, Any],
        run: Run,
        tenant: Any,
        item: Pick,
        concurrency: int,
    ) -> None:
        definition = agent.definition
        self._agent = definition
        self._engine = here.engine()
        ref = here.register(definition)
        runs.cap(here, run, definition)
        self._run = run
        self._intake = Intake(here, self._engine, definition.name, ref, run, tenant, item)
        self._items = Items(self._engine, run, definition, ref, agent.fn)
        self._crew = _Crew(self._items, concurrency)
        self._ahead = concurrency * AHEAD
        self.parked: list[ItemResult] = []

    def results(self, items: Iterable[Any]) -> Iterator[ItemResult]:
        """Yield what comes of each input; return when all of them have ended or are parked."""
        source, whole = iter(items), isinstance(items, Sized)
        exhausted = False
        while True:
            while not exhausted and (whole or self._crew.ready() < self._ahead):
                chunk = list(itertools.islice(source, CHUNK if whole else self._ahead))
                exhausted = len(chunk) < (CHUNK if whole else self._ahead)
                yield from self._submit(chunk)
            if not self._intake.jobs:
                if exhausted:
                    return
                continue
            yield from self._next()

    def _submit(self, chunk: list[Any]) -> Iterator[ItemResult]:
        jobs, ended = self._intake.take(chunk) if chunk else ([], [])
        for job in jobs:
            self._crew.add(job)
        for start in range(0, len(ended), 200):
            part = ended[start : start + 200]
            found = self._engine.results(part)
            yield from (found[item_id] for item_id in part)

    def _next(self) -> Iterator[ItemResult]:
        try:
            job, result = self._crew.out.get(timeout=max(0.001, self._crew.promote()))
        except queue.Empty:
            yield from self._give_up()
            return
        if isinstance(result, BaseException):
            raise result
        if isinstance(result, Later):
            self._crew.add_later(job, result.delay)
        else:
            yield from self._done(job, result)

    def _done(self, job: Job, result: ItemResult) -> Iterator[ItemResult]:
        self._intake.jobs.pop(job.item_id, None)
        if result.state in ("paused", "queued"):
            self.parked.append(replace(result, output=None))
        yield from itertools.repeat(result, job.copies)

    def _give_up(self) -> Iterator[ItemResult]:
        """End the items whose threads are stuck past max_seconds; new threads take their place."""
        for job in self._crew.overdue(self._agent.max_seconds):
            self._crew.hire()
            if job.execution is not None:
                reason = f"the item passed its {self._agent.max_seconds} seconds"
                self._engine.stop(job.execution, ItemTimedOut(reason, "max_seconds"))
            yield from self._done(job, self._engine.results([job.item_id])[job.item_id])

    def finish(self) -> None:
        """Start nothing more, and wait for what is under way: it is being paid for."""
        self._crew.stop()
        deadline = self._agent.max_seconds
        while self._crew.running or not self._crew.out.empty():
            try:
                self._crew.out.get(timeout=_TICK)
            except queue.Empty:
                self._crew.overdue(deadline)

    def is_busy(self) -> bool:
        """Tell whether items are under way."""
        return bool(self._crew.running)

    def abandon(self) -> None:
        """Put what is under way back into the queue, without waiting for it."""
        for job, _ in list(self._crew.running.values()):
            if job.execution is not None:
                self._engine.abandon(job.execution)

    def dismiss(self) -> None:
        self._crew.dismiss()


def run_of_map(here: Runtime, agent: str) -> tuple[Run, bool]:
    """Return the run a map belongs to, and whether it is the map's own to seal."""
    named = runs.named_run()
    if named is not None:
        return named, False
    given = here.settings.run_id
    run = here.engine().store.start_run(
        given or runs.new_name(agent),
        label=agent,
        carrier=runs.CARRIER,
        explicit=False,
    )
    runs.say_resume(run)
    return run, True


def map_items(
    agent: AgentFunction[Any, Any], items: Iterable[Any], tenant: Any, item: Pick, concurrency: int
) -> Iterator[ItemResult]:
    """Run the agent over items in threads; see AgentFunction.map."""
    here = runtime()
    if here.settings.mode == "off":
        yield from off.map_items(agent, items, tenant, item, concurrency)
        return
    run, own = run_of_map(here, agent.definition.name)
    mapping = Mapping(here, agent, run, tenant, item, concurrency)
    here.start_pump()
    try:
        yield from mapping.results(items)
        if own:
            here.engine().store.seal_run(run.id)
    except (KeyboardInterrupt, GeneratorExit):  # the second: Ctrl-C or break in the caller's loop
        _interrupted(mapping, run)
        raise
    finally:
        mapping.dismiss()
        say_parked(mapping.parked, run)


def _interrupted(mapping: Mapping, run: Run) -> None:
    """End what is under way, it is being paid for; (another) Ctrl-C leaves it to the next start."""
    if mapping.is_busy():
        say("finishing the items under way; Ctrl-C again to leave them")
    try:
        mapping.finish()
    except KeyboardInterrupt:
        mapping.abandon()
        say(f"stopped; nothing is lost. Go on with PAPAYYA_RUN_ID={run.name}")
        raise
    say(f"stopped; nothing is lost. Go on with PAPAYYA_RUN_ID={run.name}")


def say_parked(parked: list[ItemResult], run: Run) -> None:
    """Tell, on stderr, what is parked and how it goes on."""
    if parked:
        reason = parked[0].reason or "by hand"
        count = "1 item is" if len(parked) == 1 else f"{len(parked)} items are"
        say(f"{count} parked ({reason}); go on with PAPAYYA_RUN_ID={run.name}")
