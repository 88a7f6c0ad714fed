"""The cap of one item: what its calls hold, and what it has cost, in this process."""

from __future__ import annotations

import threading

from papayya_core import rules


class ItemCap:
    """Counts against ``max_item_usd``. An item is at work in one process at a time. Thread-safe.

    ``cap``: nano-dollars, None: no cap. ``spent``: before this dispatch, what is uncertain
    included. An observer (``enforce`` false) is let pass the cap.
    """

    def __init__(self, cap: int | None, spent: int, *, enforce: bool) -> None:
        self._cap = cap
        self._spent = spent
        self._enforce = enforce
        self._mutex = threading.Lock()

    def refusal(self, max_cost: int) -> str | None:
        """Say why a step must not run that may cost so much; None: it may."""
        if self._cap is None or self._spent + max_cost <= self._cap:
            return None
        reason = self._left(self._cap - self._spent)
        return f"{reason}, the step may cost {rules.dollars(max_cost)}" if max_cost else reason

    def _left(self, left: int) -> str:
        of = f"{rules.dollars(self._cap or 0)} for each item"
        return f"max_item_usd: {rules.dollars(left)} is left of {of}"

    def reserve(self, nusd: int | None) -> tuple[int, str | None]:
        """Hold what a call may cost, all that is left where there is no bound.

        Return what is held, and why the call is not to be sent: the cap does not leave so much.
        """
        if self._cap is None:
            return 0, None
        with self._mutex:
            left = self._cap - self._spent
            need = max(left, 1) if nusd is None else nusd
            fits = need <= left
            if fits or not self._enforce:
                self._spent += need
        if fits:
            return need, None
        much = "more" if nusd is None else rules.dollars(need)
        return 0 if self._enforce else need, f"{self._left(left)}, the call may cost {much}"

    def spend(self, held: int, nusd: int) -> None:
        """Replace what was held by what it cost."""
        with self._mutex:
            self._spent += nusd - held
