"""``papayya().run("my-agent")``: one item, opened and ended by hand."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, cast

from papayya import agents, endings, runs
from papayya.current import ItemMethods
from papayya.items import Items, Later
from papayya.off import OffHandle
from papayya.submissions import Job, prepare
from papayya_core import context, rules
from papayya_core.checks import Identity
from papayya_core.contract import UNATTRIBUTED, Agent, Captured, ItemResult, ItemState, Run
from papayya_core.engine import Ended
from papayya_core.errors import ItemTakenOver
from papayya_core.execution import Execution
from papayya_core.runtime import Runtime, runtime
from papayya_core.sync import sleep


class RunHandle(ItemMethods):
    """A run of one item. Its methods are those of ``run``; it is current until it is completed.

    Give the same ``run_id`` again to go on: finished tasks return what they returned.
    """

    def __init__(self, here: Runtime, run: Run, agent: Agent, job: Job) -> None:
        self._here = here
        self._engine = here.engine()
        self._run = run
        self._definition = agent
        self._job = job
        self._current: Execution | None = None
        self._before = context.current()
        self._parked: ItemResult | None = None
        self._forget: Callable[[], None] = lambda: None
        self.result: Any = None
        self.ended = False

    @property
    def run_id(self) -> str:
        """The id to go on with."""
        return self._run.name

    def _execution(self) -> Execution | None:
        return self._current

    def open(self) -> RunHandle:
        """Lease the item, waiting for one that is not due; make it current."""
        store = self._engine.store
        ref = self._here.register(self._definition)
        items = Items(self._engine, self._run, self._definition, ref, lambda: None)
        opened = store.open(self._job.item_id, ref, max_seconds=self._definition.max_seconds)
        while opened.verdict in ("wait", "busy"):
            later = items.proceed(self._job, opened)
            sleep(later.delay if isinstance(later, Later) else 0.0)
            opened = store.open(self._job.item_id, ref, max_seconds=self._definition.max_seconds)
        job = self._job
        captured = Captured(0, job.item_id, job.key, job.ordinal, "running", False)
        if opened.verdict not in ("go", "done"):
            result = items.proceed(job, opened)
            assert isinstance(result, ItemResult)  # noqa: S101 - wait and busy are handled above
            endings.unwrap(result, None, self._run)
        self._current = self._engine.execution(
            self._run, self._definition, job.tenant, captured, opened
        )
        if opened.verdict == "done":
            self.ended = True
            self.result = self._engine.results([job.item_id])[job.item_id].output
        else:
            self._current.on_complete = self.complete
            self._current.on_signal = self._park
            self._forget = self._here.at_exit(self._release)
        context.activate(self._current)
        return self

    def complete(self, result: Any) -> None:
        """End the item with its result, and the run."""
        execution = self._item("complete")
        if not self.ended:
            if execution.latch is not None:
                self._park()
            self._finish(self._engine.complete(execution, result))
            self.result = result
        self._end()

    def fail(self, error: BaseException) -> None:
        """End the item as failed."""
        execution = self._item("fail")
        if not self.ended:
            self._finish(self._engine.fail(execution, error))

    def _finish(self, ended: Ended) -> None:
        self._end()
        if ended.state == "lost":
            msg = f"another worker took item {self._job.key} over; this result was not recorded"
            raise ItemTakenOver(msg)
        self._engine.store.seal_run(self._run.id)

    def _end(self) -> None:
        """Nothing more is written; what was current before is current again."""
        self.ended = True
        self._forget()
        if self._current is not None:
            self._current.fence = 0
            if context.current() is self._current:
                context.activate(self._before)

    def _release(self) -> None:
        """At exit: an item that was not completed goes back into the queue."""
        if not self.ended and self._current is not None:
            self._engine.release(self._current, "queued", "the process ended before the item")
            self._end()

    def _park(self) -> None:
        """End the dispatch as a signal says; the caller sees an ordinary exception."""
        execution = self._item("task")
        if self._parked is None and execution.latch is not None and not self.ended:
            ended = self._engine.stop(execution, execution.latch)
            self._end()
            self._parked = ItemResult(
                self._job.key,
                cast("ItemState", ended.state),
                ended.outcome,
                None,
                rules.usd(ended.cost_nusd),
                tuple(ended.findings),
                self._job.tenant,
                ended.reason,
                ended.signal,
            )
        if self._parked is not None:
            endings.unwrap(self._parked, None, self._run)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):
            self.fail(error)
        elif error is not None:
            self._release()
        else:
            self.complete(None)


class Papayya:
    """The client of ``papayya()``: opens runs by hand."""

    def run(
        self,
        agent: str,
        *,
        run_id: str | None = None,
        tenant: str | None = None,
        item: str | None = None,
        input: Any = None,  # noqa: A002 - the noun of the contract
    ) -> RunHandle | OffHandle:
        """Open one item of an agent by hand and make it current, until ``complete``.

        ``run_id``: go on with that run. ``item``: the item's key, else the agent's name.
        ``input``: kept as the item's input.
        """
        here = runtime()
        name = rules.check_name(agent, "an agent's name")
        known = agents.registry.get(name)
        definition = known.definition if known is not None else Agent(name, "by hand")
        if here.settings.mode == "off":
            return OffHandle(definition, item or name, tenant)
        given = run_id or here.settings.run_id
        run = here.engine().store.start_run(
            rules.check_name(given or runs.new_name(name), "a run id"),
            label=name,
            carrier=runs.CARRIER,
        )
        if not given:
            runs.say_resume(run)
        runs.cap(here, run, definition)
        who = Identity(tenant or UNATTRIBUTED, item or name)
        limit = here.settings.max_payload_bytes
        one = prepare((input,), {}, who, here.plugins.encoders, limit)
        ref = here.register(definition)
        [captured] = here.engine().store.capture(run.id, ref.agent_id, [one.submission])
        job = Job(captured.item_id, one.submission.tenant, captured.key, captured.ordinal)
        return RunHandle(here, run, definition, job).open()


def papayya() -> Papayya:
    """Return the client: ``papayya().run("my-agent")``."""
    return Papayya()
