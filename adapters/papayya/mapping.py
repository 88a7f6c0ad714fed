"""``agent.map``: items side by side in threads, one ItemResult each, in the order they end."""

from __future__ import annotations

import contextlib
import itertools
import queue
from collections.abc import Generator, Iterable, Iterator, Sized
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from papayya import off, runs
from papayya.crew import AHEAD, CHUNK, TICK, Crew
from papayya.intake import Intake
from papayya.items import Items, Later
from papayya.say import say, say_parked, say_stopped
from papayya.submissions import Job, Pick
from papayya_core.contract import ItemResult, Run
from papayya_core.errors import ItemTimedOut
from papayya_core.runtime import Runtime, runtime

if TYPE_CHECKING:
    from papayya.agents import AgentFunction
    from papayya.unread import Reading

_LEASING = 2.0  # seconds a lease that was asked for may take to come


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
        self._crew = Crew(self._items, concurrency)
        self._ahead = concurrency * AHEAD
        self._exhausted = False
        self._finishing = False
        self.parked: list[ItemResult] = []

    def results(self, items: Iterable[Any]) -> Iterator[ItemResult]:
        """Yield what comes of each input; return when all of them have ended or are parked."""
        source, whole = iter(items), isinstance(items, Sized)
        size = CHUNK if whole else self._ahead
        while True:
            while not self._exhausted and (whole or self._crew.is_short(self._ahead)):
                chunk, fault = _read(source, size)
                self._exhausted = fault is None and len(chunk) < size
                yield from self._submit(chunk)
                if fault is not None:
                    raise fault
            if not self._intake.jobs:
                if self._exhausted:
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
            self._time_out(job)
            yield from self._done(job, self._engine.results([job.item_id])[job.item_id])

    def _time_out(self, job: Job) -> None:
        if job.execution is not None:
            reason = f"the item passed its {self._agent.max_seconds} seconds"
            self._engine.stop(job.execution, ItemTimedOut(reason, "max_seconds"))

    def finish(self) -> None:
        """Start nothing more, and wait for what is under way: it is being paid for."""
        self._crew.stop()
        while self._crew.running or not self._crew.out.empty():
            try:
                job, result = self._crew.out.get(timeout=TICK)
            except queue.Empty:
                for job in self._crew.overdue(self._agent.max_seconds):
                    self._time_out(job)
                    self._intake.jobs.pop(job.item_id, None)
            else:
                if isinstance(result, ItemResult):
                    list(self._done(job, result))

    def abandon(self) -> None:
        """Put what is under way back into the queue, without waiting for its end."""
        for job in self._crew.leased(_LEASING):
            if job.execution is not None:
                with contextlib.suppress(Exception):  # the next one may still go back
                    self._engine.abandon(job.execution)

    def interrupt(self, *, by_hand: bool = False) -> None:
        """End what is under way; Ctrl-C meanwhile leaves it to the next start. Once per map."""
        if self._finishing:
            return
        self._finishing = True
        try:
            if self._crew.running:
                again = "; Ctrl-C again to leave them" if by_hand else ""
                say(f"finishing the items under way{again}")
            self.finish()
        except KeyboardInterrupt:
            self.abandon()
            raise
        finally:
            if self._intake.jobs or not self._exhausted:
                say_stopped(self._run)
            self._leave_rooms()

    def _leave_rooms(self) -> None:
        """Wait for no limit any more: who is let in and does not come takes the place of others."""
        if self._intake.jobs:
            with contextlib.suppress(Exception):  # they are let in, then, and their passes are kept
                self._engine.store.fetch("leave_rooms", {"items": list(self._intake.jobs)})

    def dismiss(self) -> None:
        self._crew.dismiss()


def _read(source: Iterator[Any], size: int) -> tuple[list[Any], Exception | None]:
    """Take up to ``size`` inputs; when the source raises, what came before that, and its error."""
    chunk: list[Any] = []
    try:
        for value in itertools.islice(source, size):
            chunk.append(value)  # noqa: PERF402 - what came before an exception is kept
    except Exception as fault:  # noqa: BLE001 - the source is the user's; raised after the capture
        return chunk, fault
    return chunk, None


def run_of_map(here: Runtime, agent: str, reading: Reading) -> tuple[Run, bool]:
    """Return the run a map belongs to, and whether it is the map's own to seal."""
    if reading.run is not None:
        return reading.run, False
    given = here.settings.run_id
    run = here.engine().store.start_run(
        given or runs.new_name(agent),
        label=agent,
        carrier=runs.CARRIER,
        explicit=False,
    )
    reading.join(run)
    runs.say_resume(run)
    return run, True


def map_items(
    agent: AgentFunction[Any, Any],
    items: Iterable[Any],
    tenant: Any,
    item: Pick,
    concurrency: int,
    reading: Reading,
) -> Generator[ItemResult, None, None]:
    """Run the agent over items in threads; see AgentFunction.map."""
    here = runtime()
    if here.settings.mode == "off":
        yield from off.map_items(agent, items, tenant, item, concurrency)
        reading.end()
        return
    run, own = run_of_map(here, agent.definition.name, reading)
    here.start_pump()
    mapping = Mapping(here, agent, run, tenant, item, concurrency)
    forget = here.at_exit(mapping.interrupt)  # the loop may outlive the code that reads it
    try:
        yield from mapping.results(items)
        if reading.end() and own:
            here.engine().store.seal_run(run.id)
    except BaseException as error:  # GeneratorExit: the caller's loop was left
        mapping.interrupt(by_hand=isinstance(error, KeyboardInterrupt))
        raise
    finally:
        forget()
        mapping.dismiss()
        say_parked(mapping.parked, run)
