"""A step: run once, checkpointed, tried again when that may help, and never paid twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papayya_core import aio, codec, context, faults, rules
from papayya_core.away_async import AsyncCheckpoints
from papayya_core.contract import Finding, Known, StepCall
from papayya_core.errors import ItemFailed, Signal, StoreUnavailable, Throttled
from papayya_core.refusals import throttling
from papayya_core.results import store_value, unlocking, unstored

if TYPE_CHECKING:
    from papayya_core.calls_async import AsyncCalls
    from papayya_core.contract import StepRow
    from papayya_core.execution import Execution, Step
    from papayya_core.plugins import Plugins
    from papayya_core.settings import Settings
    from papayya_core.store.store_async import AsyncStore

_CALLS = frozenset({"tool", "retrieval"})  # steps that are one call, and recorded as one


class AsyncSteps:
    """Runs the steps of an item and writes their checkpoints."""

    def __init__(
        self, store: AsyncStore, plugins: Plugins, settings: Settings, calls: AsyncCalls
    ) -> None:
        self._store = store
        self._checkpoints = AsyncCheckpoints(store, settings)
        self._plugins = plugins
        self._settings = settings
        self._calls = calls

    async def run(self, execution: Execution, call: StepCall) -> Any:
        """Return the finished result of a step, or run it and checkpoint what it returns.

        Raises what the step raised, or the signal that keeps it from starting.
        """
        execution.obey()
        step, known = execution.begin(call, context.current_step())
        if known is not None and known.state == "completed":
            found, value = await self._recall(execution, step, known)
            if found:
                execution.skip_inside(step)
                return value
        if not execution.fence:
            msg = (
                f"item {execution.shown_key} has ended, and step {call.label!r} is none of its own"
            )
            raise ItemFailed(msg)
        execution.gate(call.max_cost_nusd)
        if step.before == "started":
            reason = f"step {call.label!r} was under way when its worker was lost"
            execution.note("side_effect_repeated", reason, step.n)
        if call.side_effect:
            await self._write(execution, step, execution.row(step, "started"))
        failure = (known.failure if known else None) or "an earlier attempt failed"
        return await self._attempt(
            execution, call, step, failure if step.before == "failed" else None
        )

    async def _recall(self, execution: Execution, step: Step, known: Known) -> tuple[bool, Any]:
        """Read a finished result; if it cannot be read back, the step runs again."""
        text = known.text
        if text is None and known.result_hash is not None:
            with unlocking(execution):
                text = await self._store.load_payload(execution.item_id, known.result_hash)
        try:
            if text is not None:
                return True, codec.decode(text, self._plugins.encoders)
            reason = "its payload is gone"
        except Exception as error:  # noqa: BLE001 - user classes are rebuilt in here
            reason = rules.describe_error(error)
        execution.note("unreadable", f"the result of step {step.key.label!r}: {reason}", step.n)
        return False, None

    async def _attempt(
        self, execution: Execution, call: StepCall, step: Step, failure: str | None
    ) -> Any:
        while True:
            step.attempts += 1
            step.restart()
            execution.calls.restart(step.scope)
            await self._calls.step_holds.take(execution, step, call)
            try:
                value = await self._call(execution, step, call)
            except Exception as error:  # noqa: BLE001 - the decision may be to raise it again
                if call.kind in _CALLS:
                    why = rules.describe_error(error)
                    await self._calls.record(execution, step, call, None, why)
                delay = await self._failed(execution, call, step, error)
                failure = rules.describe_error(error)
                await aio.sleep(delay)
                execution.gate(call.max_cost_nusd)
                execution.again(step)
            except BaseException as error:
                execution.add_cost(
                    None, step.cost_nusd, step.tokens
                )  # paid, and no row tells of it
                if isinstance(error, Signal):
                    execution.trip(error)
                raise
            else:
                break
        if failure is not None:
            execution.note("retried", failure, step.n, attempts=step.attempts)
        if call.kind in _CALLS:
            await self._calls.record(execution, step, call, value, None)
        await self._succeeded(execution, step, value)
        return value

    async def _call(self, execution: Execution, step: Step, call: StepCall) -> Any:
        """Call the user's code, and settle what the step holds."""
        holds = self._calls.step_holds
        try:
            with context.stepping(step):
                return await aio.call(call.fn, call.args, call.kwargs)
        finally:
            holds.learn(execution, step)  # before others may hold what this one did not spend
            await holds.release(step)

    async def _failed(
        self, execution: Execution, call: StepCall, step: Step, error: Exception
    ) -> float:
        """Record a failed attempt; return the delay to wait here, or raise what ends the step."""
        limit = 1 if call.side_effect else execution.step_attempts
        decision = self._plugins.decide_retry(error, step.attempts, limit, call.label)
        if faults.asks_anew(error):
            await self._calls.reject(execution, step)
        row = execution.row(step, "failed")
        row.error = rules.as_evidence(error)
        await self._write(execution, step, row)
        if decision.delay is None:
            busy = throttling(error) if self._settings.throttle and execution.enforce else None
            if busy is None:
                raise error
            execution.note_once("throttled", busy.reason, step.n)
            raise execution.trip(busy) from error
        if decision.delay > self._settings.retry_inline_seconds:
            raise execution.trip(Throttled(decision.reason, decision.delay)) from error
        return decision.delay

    async def _succeeded(self, execution: Execution, step: Step, value: object) -> None:
        stored = store_value(
            value,
            self._plugins.encoders,
            self._settings.inline_bytes,
            self._settings.max_payload_bytes,
        )
        row = execution.row(step, "completed" if stored.why is None else "unstored")
        row.result, row.body = stored.text, stored.body
        if stored.why is not None:
            what = f"the result of step {step.key.label!r}"
            execution.findings.append(unstored(stored, what, "note", step.n))
        await self._write(execution, step, row)

    async def _write(self, execution: Execution, step: Step, row: StepRow) -> None:
        if step.before == "completed":  # its first result stands; what it cost again is the item's
            execution.add_cost(None, row.cost_nusd, row.tokens)
            return
        try:
            answer = await aio.finish(lambda: self._checkpoints.write(execution, row))
        except StoreUnavailable:
            raise
        except Exception as error:
            if row.state != "completed":
                raise
            answer = await self._write_bare(execution, row, error)
        execution.remember(row)
        execution.told(answer)

    async def _write_bare(self, execution: Execution, row: StepRow, error: Exception) -> Any:
        """Postgres would not take the result: record the step without it, it was paid."""
        row.state, row.result, row.body = "unstored", None, None
        reason = f"the result of step {row.key.label!r} was refused: {rules.describe_error(error)}"
        execution.findings.append(Finding("unstored", "note", reason, n=row.n))
        return await self._checkpoints.write(execution, row)
