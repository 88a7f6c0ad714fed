"""One item of plain Python: leased, run, ended, or told to come back later."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from papayya_core import codec, rules
from papayya_core.contract import Captured, ItemResult
from papayya_core.owner import is_dead
from papayya_core.runtime import runtime
from papayya_core.store import rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from papayya.submissions import Job
    from papayya_core.contract import Agent, AgentRef, Opened, Run
    from papayya_core.engine_async import AsyncEngine, Ended

_HELD = "held by "
_POLL = 1.0
_TURN = 0.1
_SUSPECT = 2  # deliveries that died: once may be chance


@dataclass(frozen=True, slots=True)
class Later:
    """The item cannot go on now; ask again after ``delay`` seconds."""

    delay: float
    reason: str


class AsyncItems:
    """Takes the items of one run and agent through the engine."""

    def __init__(
        self,
        engine: AsyncEngine,
        run: Run,
        agent: Agent,
        ref: AgentRef,
        fn: Callable[..., Any],
    ) -> None:
        runtime().plugins.instrument(runtime().settings)
        self._engine = engine
        self._run = run
        self._agent = agent
        self._ref = ref
        self._fn = fn
        self._alone = threading.Lock()
        self._suspect = max(1, min(_SUSPECT, engine.max_deliveries - 1))

    async def attempt(self, job: Job) -> ItemResult | Later:
        """Lease an item and run it.

        Items with which workers died take turns, so that the one that kills does not take the
        others with it again and again until all of them look like poison.
        """
        if job.deliveries < self._suspect:
            return await self._attempt(job)
        if not self._alone.acquire(blocking=False):
            return Later(_TURN, "workers died with it: it runs when no other such item does")
        try:
            return await self._attempt(job)
        finally:
            self._alone.release()

    async def _attempt(self, job: Job) -> ItemResult | Later:
        opened = await self._engine.store.open(
            job.item_id, self._ref, max_seconds=self._agent.max_seconds
        )
        return await self.proceed(job, opened)

    async def proceed(self, job: Job, opened: Opened) -> ItemResult | Later:
        """Do what the answer to open says."""
        match opened.verdict:
            case "go":
                return await self._run_body(job, opened)
            case "done" | "failed" | "cancelled":
                return (await self._engine.results([job.item_id]))[job.item_id]
            case "wait":
                return Later(opened.delay, opened.reason or "it is not due yet")
            case "busy":
                return await self._busy(opened)
            case "pause":
                return self._parked(job, "paused", opened.reason)
            case _:
                return self._parked(job, "queued", opened.reason)

    async def _run_body(self, job: Job, opened: Opened) -> ItemResult | Later:
        captured = Captured(0, job.item_id, job.key, job.ordinal, "running", False)
        execution = self._engine.execution(self._run, self._agent, job.tenant, captured, opened)
        if job.unstored is not None:
            execution.note("input_unstored", f"the input was not stored: {job.unstored}")
        job.execution = execution
        try:
            args, kwargs = await self._arguments(job)
        except Exception as error:  # noqa: BLE001 - user classes are rebuilt in here
            return self._judge(job, await self._engine.fail(execution, error))
        return self._judge(job, await self._engine.carry(execution, self._fn, args, kwargs))

    async def _arguments(self, job: Job) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the live arguments, or load what was captured."""
        if job.args is not None:
            return job.args, job.kwargs or {}
        [[_, _, _, number, data]] = await self._engine.store.fetch(
            "load_input", {"item": job.item_id}
        )
        if data is None:
            msg = "its input was not stored; run it with the input at hand"
            raise LookupError(msg)
        call = codec.decode(rows.unpack(number, data))
        return tuple(call["args"]), call["kwargs"]

    def _judge(self, job: Job, ended: Ended) -> ItemResult | Later:
        if ended.state == "waiting":
            return Later(ended.delay, ended.reason or "throttled")
        if ended.state == "lost":
            return Later(_POLL, "another worker has it")
        return ItemResult(
            job.key if job.ordinal == 1 else f"{job.key}#{job.ordinal}",
            ended.state,  # type: ignore[arg-type]
            ended.outcome,
            ended.output,
            rules.usd(ended.cost_nusd),
            tuple(ended.findings),
            job.tenant,
            ended.reason,
            ended.error or ended.signal,
        )

    async def _busy(self, opened: Opened) -> Later:
        """Another dispatch is live. If its process is dead, there is no need to wait for the lease."""
        holder = (opened.reason or "").removeprefix(_HELD)
        if is_dead(holder):
            params = {
                "dead": [holder],
                "silent": False,
                "max_deliveries": 2**31 - 1,
                "limit": 10_000,
                "fences": None,
            }
            await self._engine.store.fetch("sweep", params)
            return Later(0.0, "its worker was lost")
        return Later(min(_POLL, max(opened.delay, 0.05)), opened.reason or "another worker has it")

    def _parked(self, job: Job, state: Any, reason: str | None) -> ItemResult:
        key = job.key if job.ordinal == 1 else f"{job.key}#{job.ordinal}"
        return ItemResult(key, state, None, None, rules.usd(0), (), job.tenant, reason)
