"""A call: its hold before, the journal's answer instead, its settlement after."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from papayya_core import aio, bounds, codec, faults, redaction, rules
from papayya_core.away_async import AsyncAway
from papayya_core.call import Ending, Held, Recorded
from papayya_core.callterms import CallTerms
from papayya_core.contract import Checkpointed
from papayya_core.errors import SpoolFull
from papayya_core.keeping import Keeping
from papayya_core.refusals import Refusal, after_refusal, signal_of
from papayya_core.results import unlocking
from papayya_core.stepholds_async import AsyncStepHolds
from papayya_core.store import callparams, rows

if TYPE_CHECKING:
    from papayya_core.away_async import AsyncStatements
    from papayya_core.call import Asked
    from papayya_core.contract import StepCall
    from papayya_core.errors import Signal
    from papayya_core.execution import Execution, Step
    from papayya_core.plugins import Plugins
    from papayya_core.settings import Settings

logger = redaction.logger("papayya.calls")

_COMING, _LOOK = 300.0, 0.05  # seconds that an item waits for answers before it leaves
_VOID = Ending("void", error="given up before it was sent")


class AsyncCalls:
    """Records the calls of an item."""

    def __init__(self, store: AsyncStatements, plugins: Plugins, settings: Settings) -> None:
        self._away = AsyncAway(store, settings)
        self.step_holds = AsyncStepHolds(self._away, settings)
        self._terms = CallTerms(plugins, settings)
        self._keeping = Keeping(settings)
        self._plugins = plugins
        self._settings = settings

    async def begin(
        self,
        execution: Execution,
        step: Step | None,
        asked: Asked,
        key: bytes,
        request: bytes,
        *,
        url: str = "",
        provider_key: str | None = None,
        clampable: bool = False,
    ) -> Held | Recorded | None:
        """Hold before a call, or return the answer that the journal has; one round trip.

        ``key``: 16 bytes that name the request within its step. ``provider_key``: the fingerprint
        of the key that it is sent with. ``clampable``: its limit of output may be lowered. None:
        the item has ended, nothing is recorded any more. Raises the signal that keeps the call from
        being sent, and StoreError.
        """
        execution.gate()
        await self.step_holds.give_way()  # from here on what is inside the steps holds
        scope = step.scope if step is not None else b""
        ordinal, turn = execution.calls.take(scope, key)
        held = Held(0, scope, key, ordinal, asked, datetime.now(UTC), turn=turn)
        most = bounds.bound(asked)
        bound_nusd = self._terms.bound(asked, most, held)
        params = callparams.hold_params(
            asked, most, bound_nusd, url, self._keeping.asked(execution, request)
        )
        params |= self._terms.of(execution, held, most, bound_nusd, clampable=clampable)
        params |= {
            "key_print": provider_key,
            "item": execution.item_id,
            "fence": execution.fence,
            "token": callparams.token(),
            "n": step.n if step is not None else 0,
            "scope": scope,
            "key": key,
            "ordinal": ordinal,
            "near": execution.calls.is_fresh(scope),
            "call": None,
            "spare": callparams.token(),
        }

        try:
            held.reserved, capped = execution.cap.reserve(bound_nusd)
            begun = await self._hold(execution, step, held, params, capped)
        except BaseException:
            execution.calls.free(scope, key, ordinal, turn)
            execution.cap.spend(held.reserved, 0)
            raise
        if begun is not held:
            execution.cap.spend(held.reserved, 0)
        elif not asked.stream:
            execution.on_their_way.add(id(held))
        return begun

    async def _hold(
        self,
        execution: Execution,
        step: Step | None,
        held: Held,
        params: dict[str, Any],
        capped: str | None,
    ) -> Held | Recorded | None:
        """Hold, or be answered. ``capped``: why the cap of the item leaves no room for the call.

        Raises the signal that keeps it from being sent, and StoreError.
        """
        if capped is not None and not execution.may_be_answered(step):
            execution.over_cap(capped)

        def known(found: list[Any] | None) -> None:
            if found is None:
                held.tokens = params["token"], params["spare"]
            else:
                held.id = found[0][1] or 0

        async def hold() -> list[Any] | None:
            keep = self._away.may_spend(execution, step)
            return await self._away.run(execution, "hold", params, keep=keep)

        async def take_back(found: list[Any] | None) -> None:
            known(found)
            await self._write(execution, held, _VOID)

        found = await aio.claim(hold, take_back)
        known(found)
        signal = None if found is None else _refused(held, found[0])
        if signal is not None:
            await self._let_come(execution)
            raise execution.trip(signal)
        begun = held if found is None else self._begun(execution, step, held, found[0])
        if begun is held and capped is not None:
            if execution.enforce:
                await aio.finish(lambda: self._write(execution, held, _VOID))
            execution.over_cap(capped)
        return begun

    async def _let_come(self, execution: Execution) -> None:
        """Wait, before an item leaves, for the answers that others of it have asked for.

        They are paid in any case; what has left would ask for them anew.
        """
        until = time.monotonic() + _COMING
        while execution.on_their_way and aio.can_sleep() and not execution.is_overdue():
            if time.monotonic() >= until:
                break
            await aio.sleep(_LOOK)

    def _begun(
        self, execution: Execution, step: Step | None, held: Held, row: Any
    ) -> Held | Recorded | None:
        verdict, held.id, held.bound_nusd, held.resampled, status, headers, number, body = row[:8]
        near_codec, near, unkept, reason, _, _, _, rate, clamped = row[8:]
        if verdict == "ended":
            execution.calls.free(held.scope, held.key, held.ordinal, held.turn)
            return None
        execution.told(Checkpointed(verdict, stored=False, left_nusd=None))
        if verdict != "go":
            execution.obey()
        if body is not None:
            fields = tuple((name, text) for name, text in headers or ())
            with unlocking(execution):
                return Recorded(status, fields, rows.unpack_bytes(number, body))
        execution.passes = ()
        held.clamped = None if clamped is None else clamped // held.asked.samples
        if held.clamped is not None:
            more = f"{held.asked.max_tokens} tokens of output were asked for"
            execution.note_once("clamped", f"a budget left {held.clamped}, {more}")
        if reason is not None:
            check = "would_pause" if rate is None else "would_wait"
            execution.note_once(check, reason, step.n if step is not None else None)
        execution.calls.compared(held.scope)
        if near is not None:
            with suppress(Exception):  # it is for a finding alone
                held.near = rows.unpack_bytes(near_codec, near)
        if unkept:
            self._keeping.paid_again(execution, step.n if step is not None else None)
        return held

    async def settle(self, execution: Execution, held: Held, ending: Ending) -> Signal | None:
        """Record what came of a call; one round trip. It was paid, so that no fault is raised.

        Returns the signal to raise instead of giving a provider's refusal to its caller.
        """
        if ending.state == "answered" and ending.answered and not ending.answered.whole:
            ending = replace(
                ending, state="broken"
            )  # an error in a 200, an answer still in the making
        if ending.state == "answered" and ending.answered is None:
            error = ending.error or "it answered nothing that can be read"
            ending = replace(ending, body=None, error=error)  # else it is given again for ever
        if ending.state != "answered" or ending.answered is None:
            execution.calls.free(held.scope, held.key, held.ordinal, held.turn)
        try:
            answer = await aio.finish(lambda: self._write(execution, held, ending))
        except Exception as error:
            if faults.is_interrupt(error):  # it is recorded
                raise
            logger.exception("the end of a call of item %s was not recorded", execution.shown_key)
            reason = f"the end of a call was not recorded: {rules.describe_error(error)}"
            execution.note("call_unrecorded", reason)
            return None
        finally:
            execution.on_their_way.discard(id(held))
        verdict, cost_nusd, rate = answer
        execution.cap.spend(held.reserved, held.reserved if cost_nusd is None else cost_nusd)
        execution.told(Checkpointed(verdict, stored=True, left_nusd=None))
        if not self._settings.throttle or not execution.enforce or not execution.fence:
            return None
        signal = after_refusal(ending, rate, self._settings.retry_inline_seconds)
        if signal is None:
            return None
        execution.note_once("throttled", signal.reason)
        await self._let_come(execution)
        return execution.trip(signal)

    async def _write(self, execution: Execution, held: Held, ending: Ending) -> Any:
        """Settle; return the verdict, the cost and the rate limit that cools."""
        params = callparams.settle_params(ending) | {"call": held.id, "cost": None, "source": None}
        tokens, estimated = None, False
        if ending.state in ("answered", "broken") and ending.answered is not None:
            answered = ending.answered
            tokens, estimated = bounds.used(held.asked, answered)
            priced = self._terms.price(held.asked, (answered.model, held.asked.model), tokens, held)
            if priced is not None:
                params |= {"cost": priced.nusd, "source": priced.source}
        params |= callparams.token_params(tokens) | {"estimated": estimated}
        body = self._keeping.answer(execution, ending.body) if ending.state == "answered" else None
        params |= callparams.payload(body)
        found = await self._settled(execution, held, params)
        if found is None:  # nobody objects, then, and no limit is known
            return "go", params["cost"], None
        [answer] = found
        if answer[1] is None and ending.state in ("answered", "broken"):
            model = (ending.answered and ending.answered.model) or held.asked.model
            execution.note_once("unpriced", f"what {model} costs is not known: papayya prices set")
        return answer

    async def _settled(
        self, execution: Execution, held: Held, params: dict[str, Any]
    ) -> list[Any] | None:
        """Settle; None: Postgres is away, and it is spooled."""
        token, spare = held.tokens or (None, None)
        params |= {"item": execution.item_id, "scope": held.scope, "key": held.key}
        params |= {"ordinal": held.ordinal, "token": token, "spare": spare}
        if held.tokens is None:
            return await self._away.run(execution, "settle", params, keep=True)
        if not self._away.keep(execution, "settle", params | {"call": None}):
            raise SpoolFull("the spool holds its beginning, and has no room for its end")
        return None

    async def reject(self, execution: Execution, step: Step | None) -> None:
        """Have the answers that a step was given asked anew: what it made of them was no good."""
        scope = step.scope if step is not None else b""
        if execution.calls.has(scope):
            params = {"item": execution.item_id, "scope": scope}
            keep = self._away.goes_on(execution)
            await self._away.run(execution, "reject", params, keep=keep)

    async def record(
        self, execution: Execution, step: Step, call: StepCall, answer: object, error: str | None
    ) -> None:
        """Record a call of a tool or retriever, with what it reported to have cost."""
        encoders = self._plugins.encoders
        cost, step.cost_nusd = step.cost_nusd, 0
        try:
            asked = self._keeping.kept(execution, _encoded(encoders, _arguments(call)))
            said = None if error else _encoded(encoders, answer)
            answered = self._keeping.kept(execution, said)
            params = callparams.payload(asked) | callparams.payload(answered, "answer_")
            params |= {
                "item": execution.item_id,
                "fence": execution.fence,
                "token": callparams.token(),
                "n": step.n,
                "scope": step.scope,
                "kind": call.kind,
                "model": call.label,
                "error": None if error is None else callparams.shown(error),
                "seconds": step.seconds(),
                "cost": cost,
            }
            await aio.finish(lambda: self._away.run(execution, "record_call", params, keep=True))
        except Exception as fault:
            step.cost_nusd = cost
            logger.exception("a call of %s was not recorded", call.label)
            execution.note("call_unrecorded", rules.describe_error(fault), step.n)


def _refused(held: Held, row: Any) -> Signal | None:
    """Return the signal of a hold that was refused."""
    reason, budget, wants, delay, rate = row[11:16]
    refusal = Refusal(row[0], reason, budget, wants, delay, rate)
    return signal_of(refusal, held.asked.provider, held.asked.model)


def _encoded(encoders: codec.Encoders | None, value: object) -> bytes | None:
    """Encode what went into or came out of a tool; None for what cannot be stored."""
    try:
        return codec.encode(value, encoders).encode()
    except Exception:  # noqa: BLE001 - user code (properties, plugins) runs in here
        return None


def _arguments(call: StepCall) -> dict[str, Any]:
    named = dict(call.kwargs)
    return {"args": list(call.args), "kwargs": named} if named else {"args": list(call.args)}
