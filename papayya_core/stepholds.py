# Generated from papayya_core/stepholds_async.py by tools/unasync.py: do not edit, run `make generate`.
"""Holds of steps: for what a step reports to have cost, and nobody sees while it is spent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from papayya_core import context, faults, redaction, rules, sync
from papayya_core.bounds import Bound
from papayya_core.call import Asked, Ending, Held, Priced
from papayya_core.contract import Checkpointed
from papayya_core.store import callparams

if TYPE_CHECKING:
    from papayya_core.contract import StepCall
    from papayya_core.execution import Execution, Step
    from papayya_core.holding import Holding
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

    def __init__(self, holding: Holding, settings: Settings) -> None:
        self._holding = holding
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
        row = self._holding.hold(execution, step, held, self._params(execution, held, need))
        if row is not None:
            signal = self._holding.refusal(held, row)
            if signal is not None:
                raise execution.trip(signal)
            self._holding.obey(execution, step, row)
        step.hold = execution, held

    def _params(self, execution: Execution, held: Held, need: int | None) -> dict[str, Any]:
        """Say what is asked for; no limits of rate and no prices are about a step."""
        most = Bound(0, 0 if need is not None else None)
        params = callparams.hold_params(held.asked, most, need, "", None)
        params |= {"floor": None, "clamp": False, "priced": True, "unpriced": True, "fact": False}
        params |= {"enforce": execution.enforce, "guess": None, "passes": []}
        return params | {"key_print": None, "near": False}

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
        priced = Priced(cost, "reported")
        row = self._holding.settle(execution, held, ending, priced=priced)
        if row is not None:
            execution.told(Checkpointed(row.verdict, stored=True, left_nusd=None))

    def learn(self, execution: Execution, step: Step) -> None:
        """Remember the most that steps of this label have reported."""
        name = execution.agent.name, step.key.label
        cost = step.reported_nusd + step.cost_nusd
        if cost > self._dearest.get(name, -1):
            self._dearest[name] = cost
