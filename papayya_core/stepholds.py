# Generated from papayya_core/stepholds_async.py by tools/unasync.py: do not edit, run `make generate`.
"""Holds of steps: for what a step reports to have cost, and nobody sees while it is spent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from papayya_core import context, faults, redaction, rules, sync
from papayya_core.bounds import Bound
from papayya_core.call import Asked, Ending, Held
from papayya_core.contract import Checkpointed
from papayya_core.refusals import Refusal, signal_of
from papayya_core.store import callparams

if TYPE_CHECKING:
    from papayya_core.away import Away
    from papayya_core.contract import StepCall
    from papayya_core.execution import Execution, Step
    from papayya_core.settings import Settings

logger = redaction.logger("papayya.calls")

_KEY = b"step"  # of the journal; no request has it
_NONE = 0


class StepHolds:
    """Takes a hold before a step and settles it at what the step reported.

    A step holds ``max_cost``, else the most that a step of its label has reported in this process.
    It gives way to the holds of what is inside it: calls that are seen, steps, other items. Without
    a budget nothing is held.
    """

    def __init__(self, away: Away, settings: Settings) -> None:
        self._away = away
        self._settings = settings
        self._dearest: dict[tuple[str, str], int] = {}

    def _need(self, execution: Execution, call: StepCall) -> int | None:
        """Return nano-dollars to hold, None for all that is left."""
        if call.max_cost_nusd is not None:
            return call.max_cost_nusd
        unknown = _NONE if self._settings.llm else None  # calls are seen, and hold by themselves
        return self._dearest.get((execution.agent.name, call.label), unknown)

    def take(self, execution: Execution, step: Step, call: StepCall) -> None:
        """Hold. Raises the signal that keeps the step from starting, and StoreError."""
        if not execution.is_budgeted or (need := self._need(execution, call)) == _NONE:
            return
        self.give_way()
        asked = Asked("", "step", call.label, "step")
        held = Held(0, step.scope, _KEY, 0, asked, datetime.now(UTC))
        params = self._params(execution, step, held, need)

        def known(found: list[Any] | None) -> None:
            if found is None:
                held.tokens = params["token"], params["spare"]
            else:
                held.id = found[0][1] or 0

        def hold() -> list[Any] | None:
            keep = self._away.may_spend(execution, step)
            return self._away.run(execution, "hold", params, keep=keep)

        def take_back(found: list[Any] | None) -> None:
            known(found)
            if held.id or held.tokens:
                self._settle(execution, held, 0)

        found = sync.claim(hold, take_back)
        known(found)
        if found is not None:
            self._obey(execution, step, found[0])
        step.hold = execution, held

    def _params(
        self, execution: Execution, step: Step, held: Held, need: int | None
    ) -> dict[str, Any]:
        most = Bound(0, 0 if need is not None else None)
        params = callparams.hold_params(held.asked, most, need, "", None)
        terms = {"floor": None, "clamp": False, "priced": True, "unpriced": True, "fact": False}
        return (
            params
            | terms
            | {
                "enforce": execution.enforce,
                "guess": None,
                "passes": [],
                "key_print": None,
                "item": execution.item_id,
                "fence": execution.fence,
                "token": callparams.token(),
                "n": step.n,
                "scope": held.scope,
                "key": held.key,
                "ordinal": held.ordinal,
                "near": False,
                "call": None,
                "spare": callparams.token(),
            }
        )

    def _obey(self, execution: Execution, step: Step, row: Any) -> None:
        verdict, (reason, budget, wants, delay, rate) = row[0], row[11:16]
        signal = signal_of(Refusal(verdict, reason, budget, wants, delay, rate), "", "")
        if signal is not None:
            raise execution.trip(signal)
        execution.told(Checkpointed(verdict, stored=False, left_nusd=None))
        if verdict != "go":
            execution.obey()
        if reason is not None:
            execution.note_once("would_pause", reason, step.n)

    def give_way(self) -> None:
        """Release what the steps around the caller hold: it would wait for them, and they for it."""
        for step in context.steps_around():
            self.release(step)

    def release(self, step: Step) -> None:
        """Settle what a step holds at what it has reported; again is nothing.

        The step was paid: where its hold cannot be settled, it stays, until somebody reconciles it.
        """
        holding, step.hold = step.hold, None
        if holding is None:
            return
        execution, held = holding
        cost, step.cost_nusd = step.cost_nusd, 0
        step.reported_nusd += cost
        try:
            sync.finish(lambda: self._settle(execution, held, cost))
        except Exception as error:
            if faults.is_interrupt(error):
                raise
            step.cost_nusd += cost  # its checkpoint books it
            step.reported_nusd -= cost
            logger.exception("the hold of step %s was not settled", step.key.label)
            execution.note("call_unrecorded", rules.describe_error(error), step.n)

    def _settle(self, execution: Execution, held: Held, cost: int) -> None:
        ending = Ending("answered" if cost else "void")
        token, spare = held.tokens or (None, None)
        params = callparams.settle_params(ending) | callparams.token_params(None)
        params |= callparams.payload(None) | {
            "call": held.id,
            "cost": cost,
            "source": "reported",
            "estimated": False,
            "item": execution.item_id,
            "scope": held.scope,
            "key": held.key,
            "ordinal": held.ordinal,
            "token": token,
            "spare": spare,
        }
        found = None
        if held.tokens is None:
            found = self._away.run(execution, "settle", params, keep=True)
        else:
            self._away.keep(execution, "settle", params | {"call": None})
        if found is not None:
            execution.told(Checkpointed(found[0][0], stored=True, left_nusd=None))

    def learn(self, execution: Execution, step: Step) -> None:
        """Remember the most that steps of this label have reported."""
        name = execution.agent.name, step.key.label
        cost = step.reported_nusd + step.cost_nusd
        if cost > self._dearest.get(name, -1):
            self._dearest[name] = cost
