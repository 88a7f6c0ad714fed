"""The way of an item: capture, open, run the body, close. The engine asks Postgres and obeys; it
never knows on which carrier it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from papayya_core import aio, codec, context, faults, rules
from papayya_core.calls_async import AsyncCalls
from papayya_core.checks import CheckContext
from papayya_core.contract import Finding, ItemResult, Transition
from papayya_core.errors import (
    BudgetPaused,
    HandPaused,
    ItemCancelled,
    ItemLocked,
    ItemTimedOut,
    LeaseLost,
    OutputUnavailable,
    Paused,
    Signal,
    StoreError,
    StoreUnavailable,
    Throttled,
)
from papayya_core.execution import Execution
from papayya_core.refusals import throttling
from papayya_core.results import store_value, unstored
from papayya_core.steps_async import AsyncSteps
from papayya_core.store import rows
from papayya_core.vault import Locked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papayya_core.contract import Agent, Captured, Closed, Opened, Pauser, Run
    from papayya_core.plugins import Plugins
    from papayya_core.settings import Settings
    from papayya_core.store.store_async import AsyncStore


_ADMITTED = 60.0  # seconds in which the pump lets an item in; else it asks again by itself


@dataclass(slots=True)
class Ended:
    """How a dispatch ended. ``signal`` or ``error`` is what the body raised, if anything.

    ``state`` is the item's: completed, failed, cancelled, waiting, paused, queued; or lost when
    another worker has the item.
    """

    state: str
    outcome: Any = None
    output: Any = None
    cost_nusd: int = 0
    reason: str | None = None
    delay: float = 0.0
    error: BaseException | None = None
    signal: Signal | None = None
    findings: list[Finding] = field(default_factory=list)


class AsyncEngine:
    """Runs items under the contract."""

    def __init__(self, store: AsyncStore, plugins: Plugins, settings: Settings) -> None:
        self.store = store
        self.calls = AsyncCalls(store, plugins, settings)
        self.steps = AsyncSteps(store, plugins, settings, self.calls)
        self._plugins = plugins
        self._settings = settings
        self.max_deliveries = settings.max_deliveries

    def execution(
        self, run: Run, agent: Agent, tenant: str, captured: Captured, opened: Opened
    ) -> Execution:
        """Begin an execution of an item that may go."""
        usd = self._settings.max_item_usd
        if usd is not None and agent.max_item_nusd is None:
            agent = replace(agent, max_item_nusd=rules.nano_usd(usd))
        return Execution(
            run,
            agent,
            tenant,
            captured,
            opened,
            enforce=self._settings.mode == "enforce",
            step_attempts=self._settings.step_attempts,
        )

    async def carry(
        self,
        execution: Execution,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Ended:
        """Run the body of an item and end its dispatch; only what is not an Exception passes."""
        try:
            with context.executing(execution):
                output = await aio.call(fn, args, kwargs)
        except BaseException as error:  # noqa: BLE001 - each kind has its own ending
            return await self.end_raised(execution, error)
        return await self.end_returned(execution, output)

    async def end_returned(self, execution: Execution, output: object) -> Ended:
        """End a dispatch whose body returned; a latched signal that it swallowed still counts."""
        if execution.latch is not None and not isinstance(execution.latch, LeaseLost):
            return await self.stop(execution, execution.latch)
        return await self.complete(execution, execution.output_or(output))

    async def end_raised(self, execution: Execution, error: BaseException) -> Ended:
        """End a dispatch whose body raised; only what is not an Exception passes."""
        if isinstance(error, Signal):
            execution.trip(error)
        ours = isinstance(error, (Exception, Signal, BaseExceptionGroup))
        latch = execution.latch
        if latch is not None:
            ended = await aio.finish(lambda: self.stop(execution, latch))
            if ours:
                return ended
        elif isinstance(error, Exception):
            waiting = self.throttling(execution, error)
            if waiting is not None:
                return await self.stop(execution, execution.trip(waiting))
            return await self.fail(execution, error)
        else:
            await aio.finish(lambda: self.abandon(execution))
        raise error

    def throttling(self, execution: Execution, error: BaseException) -> Signal | None:
        """An item that came upon a provider's limit waits; it has not failed."""
        if not self._settings.throttle or not execution.enforce or not execution.fence:
            return None
        waiting = throttling(error)
        if isinstance(waiting, Throttled):
            execution.note_once("throttled", waiting.reason)
        return waiting

    async def stop(self, execution: Execution, signal: Signal) -> Ended:
        """End a dispatch as a signal says: the item waits, is parked, cancelled or failed."""
        if isinstance(signal, LeaseLost):
            execution.leave()
            return Ended("lost", reason=signal.reason, signal=signal)
        if isinstance(signal, Throttled):
            ended = await self.release(
                execution,
                "waiting",
                signal.reason,
                signal.delay,
                rate=signal.rate,
                wants=signal.wants,
            )
        elif isinstance(signal, Paused):
            by_budget = signal if isinstance(signal, BudgetPaused) else BudgetPaused("")
            ended = await self.release(
                execution,
                "paused",
                signal.reason,
                paused_by=_paused_by(signal),
                budget=by_budget.budget,
                wants=by_budget.wants,
            )
        elif isinstance(signal, ItemCancelled):
            ended = await self._close(execution, "cancelled", signal.reason, [])
        elif isinstance(signal, ItemLocked):
            finding = Finding("locked", "failed", signal.reason)
            ended = await self._close(execution, "failed", signal.reason, [finding])
            ended.error = Locked(signal.reason)
        else:
            check = signal.limit if isinstance(signal, ItemTimedOut) else "signal"
            finding = Finding(check, "failed", signal.reason)
            ended = await self._close(execution, "failed", signal.reason, [finding])
        ended.signal = signal
        return ended

    async def complete(self, execution: Execution, output: object) -> Ended:
        """End an item with its output: judge it, store it, commit both."""
        findings = execution.changed_steps()
        facts = CheckContext(
            execution.run.name,
            execution.tenant,
            execution.shown_key,
            execution.agent,
            output,
            tuple(execution.findings),
        )
        findings += self._plugins.check(facts)
        stored = store_value(output, self._plugins.encoders, -1, self._settings.max_payload_bytes)
        if stored.why is not None:
            findings.append(unstored(stored, "the output", "degraded"))
        reason = next((f.reason for f in findings if f.severity != "note"), None)
        ended = await self._close(execution, "completed", reason, findings, stored.body)
        ended.output = output if ended.state == "completed" else None
        return ended

    async def fail(
        self, execution: Execution, error: BaseException, check: str = "exception"
    ) -> Ended:
        """End an item with the exception that its body raised."""
        await self.doubt(execution, error)
        reason = rules.describe_error(error)
        finding = Finding(check, "failed", reason, rules.as_evidence(error))
        ended = await self._close(execution, "failed", reason, [finding])
        ended.error = error
        return ended

    async def doubt(self, execution: Execution, error: BaseException) -> None:
        """Have answers asked anew that the body could make nothing of, when its item runs again."""
        if faults.asks_anew(error):
            await self.calls.reject(execution, None)

    async def _close(
        self,
        execution: Execution,
        state: str,
        reason: str | None,
        findings: list[Finding],
        body: Any = None,
    ) -> Ended:
        findings = [*execution.findings, *findings]
        reason = rules.presentable(reason) if reason else None
        try:
            closed = await aio.finish(
                lambda: self._write_end(execution, state, reason, findings, body)
            )
        finally:
            execution.leave()
        ended = Ended(closed.verdict, closed.outcome, None, closed.cost_nusd, reason)
        ended.findings = findings
        self._tell(execution, ended)
        return ended

    async def _write_end(
        self,
        execution: Execution,
        state: str,
        reason: str | None,
        findings: list[Finding],
        body: Any,
    ) -> Closed:
        """Close an item; if Postgres refuses what comes with it, close it without that."""
        item, fence = execution.item_id, execution.fence
        cost, tokens = execution.cost_nusd, execution.tokens
        end = partial(self.store.close, item, fence, state, cost_nusd=cost, tokens=tokens)
        end = partial(end, tell=execution.tell)
        try:
            return await end(reason=reason, body=body, findings=findings)
        except StoreUnavailable:
            raise
        except StoreError as error:
            what = f"the end of the item was refused: {rules.describe_error(error)}"
            bare = Finding("unstored", "failed" if state == "failed" else "degraded", what)
            return await end(findings=[bare])

    async def abandon(self, execution: Execution) -> Ended:
        """Put an item back whose body is left in the middle; the audit lists the delivery."""
        return await self.release(execution, "queued", "interrupted", lost=True)

    async def release(
        self,
        execution: Execution,
        state: str,
        reason: str,
        delay: float = 0.0,
        *,
        lost: bool = False,
        paused_by: Pauser | None = None,
        budget: int | None = None,
        rate: int | None = None,
        wants: int | None = None,
    ) -> Ended:
        """End a dispatch, not its item: queued, waiting or paused. Finished steps are kept.

        What waits for a rate limit is let in by the pump; the delay is when to look for it.
        """
        execution.leave()
        reason = rules.presentable(reason)
        if execution.before_parking is not None and state != "queued":
            execution.before_parking(state, reason)
        verdict, cost = await self.store.release(
            execution.item_id,
            execution.fence,
            state,
            reason=reason,
            delay=delay if rate is None else delay + _ADMITTED,
            findings=execution.findings,
            cost_nusd=execution.cost_nusd,
            tokens=execution.tokens,
            lost=lost,
            paused_by=paused_by,
            budget=budget,
            rate=rate,
            wants=wants,
            passes=execution.passes,
        )
        ended = Ended(verdict, cost_nusd=cost, reason=reason, delay=delay)
        ended.findings = list(execution.findings)
        self._tell(execution, ended)
        return ended

    def _tell(self, execution: Execution, ended: Ended) -> None:
        if ended.state == "lost":
            return
        self._plugins.on_transition(
            Transition(
                execution.run.name,
                execution.tenant,
                execution.agent.name,
                execution.shown_key,
                execution.item_id,
                ended.state,  # type: ignore[arg-type]
                ended.outcome,
                ended.reason,
                ended.cost_nusd,
                tuple(ended.findings),
            )
        )

    async def results(self, item_ids: Sequence[int]) -> dict[int, ItemResult]:
        """Read what came of items, with their outputs."""
        found = await self.store.fetch("load_items", {"items": list(item_ids)})
        return {row[0]: self._result(*row[1:]) for row in found}

    def _result(
        self,
        key: str,
        tenant: str,
        state: Any,
        outcome: Any,
        cost_nusd: int,
        reason: str | None,
        _due: Any,
        codec_no: int | None,
        data: bytes | None,
        _has_output: bool,
        findings: Any,
    ) -> ItemResult:
        output, error = None, None
        if codec_no is not None and data is not None:
            try:
                output = codec.decode(rows.unpack(codec_no, data), self._plugins.encoders)
            except Exception as fault:  # noqa: BLE001 - user classes are rebuilt in here
                reason = f"the output cannot be read back: {rules.describe_error(fault)}"
                error = OutputUnavailable(f"item {key}: {reason}")
        elif state == "completed":
            error = OutputUnavailable(f"item {key} is finished: {reason or 'its output is gone'}")
        return ItemResult(
            key,
            state,
            outcome,
            output,
            rules.usd(cost_nusd),
            rows.findings_of(findings),
            tenant,
            reason,
            error,
        )


def _paused_by(signal: Paused) -> Pauser:
    if isinstance(signal, BudgetPaused):
        return "budget"
    return "hand" if isinstance(signal, HandPaused) else "code"
