"""One dispatch of one item in this process: what the database said, and what happened since.

Shared by the asynchronous and the threaded engine, and by all threads that work on the item; its
mutex is held for a few statements and never across I/O.
"""

from __future__ import annotations

import threading
import time
import uuid
from bisect import insort
from typing import TYPE_CHECKING

from papayya_core import rules
from papayya_core.callbook import CallBook
from papayya_core.contract import Finding, Known, StepKey, StepRow
from papayya_core.errors import (
    BudgetPaused,
    HandPaused,
    ItemCancelled,
    ItemTimedOut,
    LeaseLost,
    Paused,
    Signal,
)
from papayya_core.itemcap import ItemCap

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from papayya_core.call import Held
    from papayya_core.contract import (
        Agent,
        Captured,
        Checkpointed,
        Opened,
        Run,
        StepCall,
        StepState,
    )

_NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")


_live: set[int] = set()


def live_fences() -> frozenset[int]:
    """The fences under which this process is at work; any other of its own has leaked."""
    return frozenset(_live)


class Step:
    """A step while it runs: its key, its number and what it reported to have cost."""

    __slots__ = (
        "attempts",
        "before",
        "began",
        "cost_nusd",
        "hold",
        "key",
        "kind",
        "n",
        "parent_n",
        "reported_nusd",
        "scope",
        "tokens",
    )

    def __init__(
        self, key: StepKey, n: int, kind: str, known: Known | None, parent_n: int | None
    ) -> None:
        self.key = key
        self.n = n
        self.kind = kind
        self.attempts = known.attempts if known else 0
        self.before = known.state if known else None  # what an earlier execution left of it
        self.parent_n = parent_n
        self.scope = rules.scope(key)  # of its calls
        self.hold: tuple[Execution, Held] | None = None
        self.restart()

    def seconds(self) -> float:
        """Return how long this try has taken so far."""
        return time.monotonic() - self.began

    def restart(self) -> None:
        """Begin (another try of) the step."""
        self.began = time.monotonic()
        self.cost_nusd = 0
        self.reported_nusd = 0  # what of its cost was settled with its hold
        self.tokens = 0


class Execution:
    """The current item: its keys, finished steps, limits, cost and findings."""

    def __init__(
        self,
        run: Run,
        agent: Agent,
        tenant: str,
        captured: Captured,
        opened: Opened,
        *,
        enforce: bool = True,
        step_attempts: int = 5,
    ) -> None:
        self.run = run
        self.agent = agent
        self.tenant = tenant
        self.item_id = captured.item_id
        self.key = captured.key
        self.ordinal = captured.ordinal
        self.fence = opened.fence or 0  # 0: the item has ended, nothing more is written
        self.delivery = opened.delivery or 1
        self.began: datetime | None = opened.began
        self.ran_before = opened.resumed
        if self.fence:
            _live.add(self.fence)
        self.enforce = enforce
        self.step_attempts = step_attempts
        self.known: dict[StepKey, Known] = {known.key: known for known in opened.known}
        self.findings: list[Finding] = []
        self.cost_nusd = 0  # outside any step
        self.tokens = 0
        self.latch: Signal | None = None
        self._asked_to_pause = False
        self.on_their_way: set[int] = set()  # calls whose answers will come whole
        self.passes = opened.passes  # rate limits that have let its next call in
        self.cap = ItemCap(agent.max_item_nusd, opened.spent_nusd, enforce=enforce)
        self._budgeted = opened.left_nusd is not None
        self._left = opened.left_nusd
        self._deadline = time.monotonic() + agent.max_seconds if agent.max_seconds else None
        self._mutex = threading.Lock()
        self._asked: set[StepKey] = set()
        self._nested: dict[int, list[Known]] = {}  # what an earlier dispatch left, by parent
        for known in opened.known:
            if known.parent_n is not None:
                self._nested.setdefault(known.parent_n, []).append(known)
        self._skipped: set[StepKey] = set()  # steps inside finished ones, which do not run again
        self._ran: list[StepKey] = []
        self._ordinals: dict[tuple[str, bytes], int] = {}
        self._inside: dict[int, list[StepKey]] = {}  # steps by the step they were begun in
        self._again: dict[tuple[int, str, bytes], list[int]] = {}
        self._labels: dict[str, int] = {}
        self._n = max((known.n for known in opened.known), default=0)
        self._steps = 0
        self.calls = CallBook()
        self._children: dict[tuple[str, str], int] = {}
        self._uuids = 0
        self.on_signal: Callable[[], None] | None = None  # turns a signal into an exception
        self.before_parking: Callable[[str, str], None] | None = None  # (state, reason)
        self.tell: float | None = None  # seconds until its carrier is told the end, see close
        self._output: list[object] = []
        self.on_complete: Callable[[object], None] = self._output.append

    def leave(self) -> None:
        """The body's frame is left: nobody is at work under this fence any more.

        What it has left running goes on, without its limit of time.
        """
        _live.discard(self.fence)
        self._deadline = None

    @property
    def shown_key(self) -> str:
        """The key as people see it: the second item of one key is ``key#2``."""
        return self.key if self.ordinal == 1 else f"{self.key}#{self.ordinal}"

    def complete(self, output: object) -> None:
        """Take the item's output from code inside it."""
        self.on_complete(output)

    def output_or(self, returned: object) -> object:
        """Return the output that code inside the item gave, else what the body returned."""
        return self._output[-1] if self._output else returned

    def has_output(self) -> bool:
        """Tell whether code inside the item gave an output."""
        return bool(self._output)

    @property
    def is_budgeted(self) -> bool:
        """Tell whether a budget applied when the item was opened."""
        return self._budgeted

    def is_overdue(self) -> bool:
        """Tell whether the item has passed its ``max_seconds``."""
        deadline = self._deadline
        return deadline is not None and time.monotonic() >= deadline

    def trip(self, signal: Signal) -> Signal:
        """Latch a signal: whatever the user's code makes of it, the item stops here."""
        with self._mutex:
            self.latch = self.latch or signal
        return self.latch

    def obey(self) -> None:
        """Raise the signal that is latched, or the pause that was asked for, if there is one."""
        if self._asked_to_pause:
            self.trip(HandPaused("paused by hand"))
        if self.latch is not None:
            raise self.latch.with_traceback(None)

    def gate(self, max_cost_nusd: int | None = None) -> None:
        """Raise the signal that keeps a step from running (again), if there is one."""
        self.obey()
        signal = self._limit(max_cost_nusd or 0)
        if signal is not None:
            raise self.trip(signal).with_traceback(None)

    def _limit(self, max_cost_nusd: int) -> Signal | None:
        if self.is_overdue():
            return ItemTimedOut(
                f"the item passed its {self.agent.max_seconds} seconds", "max_seconds"
            )
        if self.agent.max_steps is not None and self._steps > self.agent.max_steps:
            return ItemTimedOut(f"the item passed its {self.agent.max_steps} steps", "max_steps")
        if self._left is not None and (self._left <= 0 or max_cost_nusd > self._left):
            reason = f"budget: {rules.dollars(self._left)} is left"
            if max_cost_nusd:
                reason += f", the step may cost {rules.dollars(max_cost_nusd)}"
            if self.enforce:
                return BudgetPaused(reason, wants=max_cost_nusd or None)
            self._left = None
            self.note("would_pause", reason)
        return self._cap(max_cost_nusd)

    def _cap(self, max_cost_nusd: int) -> Signal | None:
        """Say what keeps a step from running under the cap of the item; reports may pass it."""
        reason = self.cap.refusal(max_cost_nusd)
        if reason is None or self.enforce:
            return None if reason is None else Paused(reason)
        self._would_pause(reason)
        return None

    def _would_pause(self, reason: str) -> None:
        """Note, once, that the cap of the item would have paused it."""
        start = reason.partition(":")[0]
        if not any(f.check == "would_pause" and f.reason.startswith(start) for f in self.findings):
            self.note("would_pause", reason)

    def over_cap(self, reason: str) -> None:
        """Raise Paused for a call that the cap leaves no room for; note it for an observer."""
        if self.enforce:
            raise self.trip(Paused(reason)).with_traceback(None)
        self._would_pause(reason)

    def may_be_answered(self, step: Step | None) -> bool:
        """Tell whether the journal may have answers of an earlier try."""
        return self.ran_before or (step is not None and step.attempts > 1)

    def begin(self, call: StepCall, parent: Step | None) -> tuple[Step, Known | None]:
        """Number a step and find what an earlier dispatch knows of it."""
        with self._mutex:
            self._steps += 1
            key = self._key(call, parent)
            self._labels[call.label] = self._labels.get(call.label, 0) + 1
            self._asked.add(key)
            known = self.known.get(key)
            if known is None:
                self._n += 1
            n = known.n if known else self._n
        return Step(key, n, call.kind, known, parent.n if parent else None), known

    def _key(self, call: StepCall, parent: Step | None) -> StepKey:
        """Number a call of its label and arguments; in a step that is tried again, as before."""
        counted = (call.label, call.args_hash)
        if parent is not None and (before := self._again.get((parent.n, *counted))):
            ordinal = before.pop(0)
        else:
            ordinal = self._ordinals.get(counted, 0) + 1
            while StepKey(*counted, ordinal) in self._skipped:
                ordinal += 1
            self._ordinals[counted] = ordinal
        key = StepKey(*counted, ordinal)
        if parent is not None:
            self._inside.setdefault(parent.n, []).append(key)
        return key

    def skip_inside(self, step: Step) -> None:
        """A finished step is not run, so the steps inside it are not asked for: count them."""
        with self._mutex:
            inside = [step.n]
            while inside:
                for known in self._nested.pop(inside.pop(), ()):
                    inside.append(known.n)
                    self._skipped.add(known.key)
                    self._asked.add(known.key)

    def again(self, step: Step) -> None:
        """Before a step is tried again: the steps inside it will be those of the try before."""
        with self._mutex:
            for key in self._inside.pop(step.n, ()):
                self._labels[key.label] -= 1
                ordinals = self._again.setdefault((step.n, key.label, key.args_hash), [])
                insort(ordinals, key.ordinal)

    def remember(self, row: StepRow) -> None:
        """Know a step inside another one, which may be tried again and ask for it."""
        if row.parent_n is not None:
            payload = row.body.hash if row.body else None
            self.known[row.key] = Known(
                row.key, row.n, row.state, row.result, payload, row.attempts, None, row.parent_n
            )

    def row(self, step: Step, state: StepState) -> StepRow:
        """Make the row that records a step."""
        if state != "started":
            self._ran.append(step.key)
        return StepRow(
            fence=self.fence,
            item_id=self.item_id,
            key=step.key,
            n=step.n,
            kind=step.kind,
            state=state,
            attempts=step.attempts,
            seconds=step.seconds(),
            parent_n=step.parent_n,
            cost_nusd=step.cost_nusd,
            tokens=step.tokens,
            budgeted=self._budgeted,
        )

    def told(self, answer: Checkpointed) -> None:
        """Take in how the item may go on; the next gate acts on it."""
        if answer.verdict == "lost":
            self.trip(LeaseLost("another worker took the item over"))
        elif answer.verdict == "cancelled":
            self.trip(ItemCancelled("the item was cancelled"))
        elif answer.verdict == "pause":
            self._asked_to_pause = True  # at the next step; a body that needs none may end
        if answer.left_nusd is not None and self._left is not None:
            self._left = answer.left_nusd

    def add_cost(self, step: Step | None, nusd: int, tokens: int) -> None:
        """Book what was reported to the step, or outside any step to the item."""
        with self._mutex:
            holder = step if step is not None else self
            holder.cost_nusd += nusd
            holder.tokens += tokens
            self.cap.spend(0, nusd)
            if step is None and self._left is not None:
                self._left -= nusd

    def note(self, check: str, reason: str, n: int | None = None, **evidence: object) -> None:
        """Add a finding that does not touch the outcome."""
        self.findings.append(Finding(check, "note", reason, evidence, n))

    def note_once(self, check: str, reason: str, n: int | None = None) -> None:
        """Add a finding that does not touch the outcome, unless it is there."""
        if not any((one.check, one.reason, one.n) == (check, reason, n) for one in self.findings):
            self.note(check, reason, n)

    def changed_steps(self) -> list[Finding]:
        """Say which labels ran again because their arguments changed."""
        with self._mutex:
            known, asked = list(self.known.values()), frozenset(self._asked)
        labels = rules.changed_labels(known, asked, list(self._ran))
        return [
            Finding("step_input_changed", "note", f"step {label!r} ran again with other arguments")
            for label in labels
        ]

    def child_ordinal(self, agent: str, key: str) -> int:
        """Number the calls of one agent with one key within this item."""
        with self._mutex:
            number = self._children.get((agent, key), 0) + 1
            self._children[agent, key] = number
        return number

    def idempotency_key(self, label: str, step: Step | None) -> str:
        """Name the effect of a step the same in every attempt, delivery and resume."""
        if step is not None and step.key.label == label:
            part = f"{step.key.args_hash.hex()}/{step.key.ordinal}"
        else:
            part = f"next/{self._labels.get(label, 0) + 1}"
        return str(uuid.uuid5(_NAMESPACE, f"{self._identity()}/{label}/{part}"))

    def next_uuid(self) -> uuid.UUID:
        """Make the next UUID of this item: the n-th one is the same in every execution."""
        with self._mutex:
            self._uuids += 1
            number = self._uuids
        return uuid.uuid5(_NAMESPACE, f"{self._identity()}/uuid/{number}")

    def _identity(self) -> str:
        return f"{self.run.name}/{self.tenant}/{self.agent.name}/{self.key}/{self.ordinal}"
