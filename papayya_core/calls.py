# Generated from papayya_core/calls_async.py by tools/unasync.py: do not edit, run `make generate`.
"""A call: its hold before, the journal's answer instead, its settlement after."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from papayya_core import bounds, faults, redaction, rules, sync
from papayya_core.away import Away
from papayya_core.call import Ending, Held, Recorded
from papayya_core.callterms import CallTerms
from papayya_core.contract import Checkpointed
from papayya_core.holding import Holding
from papayya_core.keeping import Keeping
from papayya_core.refusals import after_refusal
from papayya_core.results import unlocking
from papayya_core.stepholds import StepHolds
from papayya_core.store import callparams, rows
from papayya_core.store.callrows import SettleRow

if TYPE_CHECKING:
    from papayya_core.away import Statements
    from papayya_core.call import Asked
    from papayya_core.contract import StepCall
    from papayya_core.errors import Signal
    from papayya_core.execution import Execution, Step
    from papayya_core.plugins import Plugins
    from papayya_core.settings import Settings
    from papayya_core.store.callrows import HoldRow

logger = redaction.logger("papayya.calls")

_COMING, _LOOK = 300.0, 0.05  # seconds that an item waits for answers before it leaves


class Calls:
    """Records the calls of an item."""

    def __init__(self, store: Statements, plugins: Plugins, settings: Settings) -> None:
        self._away = Away(store, settings)
        self._holding = Holding(self._away)
        self.step_holds = StepHolds(self._holding, settings)
        self._terms = CallTerms(plugins, settings)
        self._keeping = Keeping(settings)
        self._plugins = plugins
        self._settings = settings

    def begin(
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
        self.step_holds.give_way()  # from here on what is inside the steps holds
        scope = step.scope if step is not None else b""
        ordinal, turn = execution.calls.take(scope, key)
        held = Held(0, scope, key, ordinal, asked, datetime.now(UTC), turn=turn)
        most = bounds.bound(asked)
        bound_nusd = self._terms.bound(asked, most, held)
        params = callparams.hold_params(
            asked, most, bound_nusd, url, self._keeping.asked(execution, request)
        )
        params |= self._terms.of(execution, held, most, bound_nusd, clampable=clampable)
        params |= {"key_print": provider_key, "near": execution.calls.is_fresh(scope)}
        try:
            held.reserved, capped = execution.cap.reserve(bound_nusd)
            begun = self._hold(execution, step, held, params, capped)
        except BaseException:
            execution.calls.free(scope, key, ordinal, turn)
            execution.cap.spend(held.reserved, 0)
            raise
        if begun is not held:
            execution.cap.spend(held.reserved, 0)
        elif not asked.stream:
            execution.on_their_way.add(id(held))
        return begun

    def _hold(
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

        row = self._holding.hold(execution, step, held, params)
        signal = None if row is None else self._holding.refusal(held, row)
        if signal is not None:
            self._let_come(execution)
            raise execution.trip(signal)
        begun = held if row is None else self._begun(execution, step, held, row)
        if begun is held and capped is not None:
            if execution.enforce:
                sync.finish(lambda: self._holding.give_up(execution, held))
            execution.over_cap(capped)
        return begun

    def _let_come(self, execution: Execution) -> None:
        """Wait, before an item leaves, for the answers that others of it have asked for.

        They are paid in any case; what has left would ask for them anew.
        """
        until = time.monotonic() + _COMING
        while execution.on_their_way and sync.can_sleep() and not execution.is_overdue():
            if time.monotonic() >= until:
                break
            sync.sleep(_LOOK)

    def _begun(
        self, execution: Execution, step: Step | None, held: Held, row: HoldRow
    ) -> Held | Recorded | None:
        if row.verdict == "ended":
            execution.calls.free(held.scope, held.key, held.ordinal, held.turn)
            return None
        self._holding.obey(execution, step, row)
        if row.body is not None:
            fields = tuple((name, text) for name, text in row.headers or ())
            with unlocking(execution):
                return Recorded(row.status, fields, rows.unpack_bytes(row.codec, row.body))
        held.bound_nusd, held.resampled = row.bound_nusd, row.resampled
        execution.passes = ()
        held.clamped = None if row.clamped is None else row.clamped // held.asked.samples
        if held.clamped is not None:
            more = f"{held.asked.max_tokens} tokens of output were asked for"
            execution.note_once("clamped", f"a budget left {held.clamped}, {more}")
        execution.calls.compared(held.scope)
        if row.near_body is not None:
            with suppress(Exception):  # it is for a finding alone
                held.near = rows.unpack_bytes(row.near_codec, row.near_body)
        if row.unkept:
            self._keeping.paid_again(execution, step.n if step is not None else None)
        return held

    def settle(self, execution: Execution, held: Held, ending: Ending) -> Signal | None:
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
            row = sync.finish(lambda: self._write(execution, held, ending))
        except Exception as error:
            if faults.is_interrupt(error):  # it is recorded
                raise
            logger.exception("the end of a call of item %s was not recorded", execution.shown_key)
            reason = f"the end of a call was not recorded: {rules.describe_error(error)}"
            execution.note("call_unrecorded", reason)
            return None
        finally:
            execution.on_their_way.discard(id(held))
        cost = held.reserved if row.cost_nusd is None else row.cost_nusd
        execution.cap.spend(held.reserved, cost)
        execution.told(Checkpointed(row.verdict, stored=True, left_nusd=None))
        if not self._settings.throttle or not execution.enforce or not execution.fence:
            return None
        signal = after_refusal(ending, row.rate_id, self._settings.retry_inline_seconds)
        if signal is None:
            return None
        execution.note_once("throttled", signal.reason)
        self._let_come(execution)
        return execution.trip(signal)

    def _write(self, execution: Execution, held: Held, ending: Ending) -> SettleRow:
        """Settle at what was used."""
        tokens, estimated, priced, body = None, False, None, None
        paid = ending.state in ("answered", "broken")
        if paid and (answered := ending.answered) is not None:
            tokens, estimated = bounds.used(held.asked, answered)
            priced = self._terms.price(held.asked, (answered.model, held.asked.model), tokens, held)
        if ending.state == "answered":
            body = self._keeping.answer(execution, ending.body)
        row = self._holding.settle(
            execution, held, ending, tokens=tokens, estimated=estimated, priced=priced, body=body
        )
        if row is None:  # nobody objects, then, and no limit is known
            return SettleRow("go", None if priced is None else priced.nusd, None)
        if paid and row.cost_nusd is None:
            model = (ending.answered and ending.answered.model) or held.asked.model
            execution.note_once("unpriced", f"what {model} costs is not known: papayya prices set")
        return row

    def reject(self, execution: Execution, step: Step | None) -> None:
        """Have the answers that a step was given asked anew: what it made of them was no good."""
        scope = step.scope if step is not None else b""
        if execution.calls.has(scope):
            params = {"item": execution.item_id, "scope": scope}
            keep = self._away.goes_on(execution)
            self._away.run(execution, "reject", params, keep=keep)

    def record(
        self, execution: Execution, step: Step, call: StepCall, answer: object, error: str | None
    ) -> None:
        """Record a call of a tool or retriever, with what it reported to have cost."""
        encoders = self._plugins.encoders
        cost, step.cost_nusd = step.cost_nusd, 0
        try:
            asked = self._keeping.value(execution, _arguments(call), encoders)
            answered = None if error else self._keeping.value(execution, answer, encoders)
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
            sync.finish(lambda: self._away.run(execution, "record_call", params, keep=True))
        except Exception as fault:
            step.cost_nusd = cost
            logger.exception("a call of %s was not recorded", call.label)
            execution.note("call_unrecorded", rules.describe_error(fault), step.n)


def _arguments(call: StepCall) -> dict[str, Any]:
    named = dict(call.kwargs)
    return {"args": list(call.args), "kwargs": named} if named else {"args": list(call.args)}
