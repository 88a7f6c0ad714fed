"""One dispatch in memory: keys and numbers of steps, limits, latches, stable values."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papayya_core.contract import (
    Agent,
    Captured,
    Checkpointed,
    Known,
    Opened,
    Run,
    StepCall,
    StepKey,
)
from papayya_core.errors import (
    BudgetPaused,
    ItemCancelled,
    ItemTimedOut,
    LeaseLost,
    Signal,
    Throttled,
)
from papayya_core.execution import Execution, Step

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def make(
    *known: Known, left: int | None = None, enforce: bool = True, key: str = "k", **agent: Any
) -> Execution:
    run = Run(1, "r", False, False)
    captured = Captured(0, 7, key, 1, "running", True)
    opened = Opened("go", 9, 0.0, None, known, 1, left, NOW)
    return Execution(run, Agent("a", "v", **agent), "t", captured, opened, enforce=enforce)


def call(label: str, args: bytes = b"") -> StepCall:
    return StepCall(label, int, (), {}, args)


def test_keys_and_numbers() -> None:
    """Steps are numbered as they begin; the ordinal counts calls of one label and arguments."""
    execution = make()
    calls = [call("a"), call("b"), call("a"), call("a", b"x")]
    begun = [execution.begin(one, None)[0] for one in calls]
    assert [step.n for step in begun] == [1, 2, 3, 4]
    assert [step.key for step in begun] == [
        StepKey("a", b"", 1),
        StepKey("b", b"", 1),
        StepKey("a", b"", 2),
        StepKey("a", b"x", 1),
    ]


def test_known_steps() -> None:
    """A known step keeps its number and attempts; new ones are numbered after all that are known."""
    old = Known(StepKey("a", b"", 1), 5, "failed", None, None, 3)
    execution = make(old)
    step, known = execution.begin(call("a"), None)
    assert (step.n, step.attempts, step.before, known) == (5, 3, "failed", old)
    step, known = execution.begin(call("a"), None)
    assert (step.n, step.attempts, step.before, known) == (6, 0, None, None)


@given(st.lists(st.sampled_from("abc"), max_size=40), st.integers(1, 4))
def test_threads_share_the_counts(labels: list[str], threads: int) -> None:
    """However many threads begin steps, numbers and keys are given once."""
    execution = make()
    with ThreadPoolExecutor(threads) as pool:
        steps = list(pool.map(lambda label: execution.begin(call(label), None)[0], labels))
    assert sorted(step.n for step in steps) == list(range(1, len(labels) + 1))
    assert len({step.key for step in steps}) == len(labels)


def test_steps_inside_a_step_that_is_tried_again() -> None:
    """They get the keys of the try before, in their order; further ones count on."""
    execution = make()
    outer, _ = execution.begin(call("outer"), None)
    first = [execution.begin(call("in"), outer)[0] for _ in range(2)]
    other, _ = execution.begin(call("in"), None)
    execution.remember(execution.row(first[0], "completed"))
    execution.again(outer)
    second = [execution.begin(call("in"), outer)[0] for _ in range(3)]
    assert [step.key.ordinal for step in first] == [1, 2]
    assert other.key.ordinal == 3
    assert [step.key.ordinal for step in second] == [1, 2, 4]
    assert (second[0].before, second[0].n) == ("completed", first[0].n)


def test_max_steps() -> None:
    """The step after the last does not run, and the item stays stopped."""
    execution = make(max_steps=1)
    execution.begin(call("a"), None)
    execution.gate()
    execution.begin(call("b"), None)
    for _ in range(2):
        with pytest.raises(ItemTimedOut, match="1 steps"):
            execution.gate()
    assert isinstance(execution.latch, ItemTimedOut)
    assert execution.latch.limit == "max_steps"


def test_max_seconds() -> None:
    """An item is overdue from its time on, and its steps do not begin."""
    assert not make(max_seconds=1000.0).is_overdue()
    assert not make().is_overdue()
    execution = make(max_seconds=1e-9)
    assert execution.is_overdue()
    with pytest.raises(ItemTimedOut) as caught:
        execution.gate()
    assert caught.value.limit == "max_seconds"


def test_budgets() -> None:
    """A step begins while anything is left, or as much as it may cost."""
    make(left=1).gate()
    with pytest.raises(BudgetPaused, match="budget:"):
        make(left=0).gate()
    make(left=10).gate(10)
    with pytest.raises(
        BudgetPaused, match=r"budget: \$0\.00000001 is left, the step may cost \$0\.000000011"
    ):
        make(left=10).gate(11)
    make().gate(10**12)


def test_observe() -> None:
    """Without enforcement the item notes once where it would have paused, and goes on."""
    execution = make(left=0, enforce=False)
    for _ in range(3):
        execution.gate(5)
    assert [(one.check, one.severity) for one in execution.findings] == [("would_pause", "note")]


def test_answers() -> None:
    """What a checkpoint is told acts at the next gate: cancelled, lost, nothing left."""
    for verdict, kind in (("cancelled", ItemCancelled), ("lost", LeaseLost)):
        execution = make()
        execution.told(Checkpointed(verdict, True, None))  # type: ignore[arg-type]
        with pytest.raises(kind):
            execution.gate()
    execution = make(left=5)
    execution.told(Checkpointed("go", True, 0))
    with pytest.raises(BudgetPaused):
        execution.gate()


def test_the_latch() -> None:
    """The first signal stays, whatever comes later; it is no Exception."""
    execution = make()
    first = execution.trip(Throttled("busy", 3.0))
    assert execution.trip(ItemCancelled("late")) is first
    with pytest.raises(Throttled):
        execution.gate()
    assert not issubclass(Signal, Exception)


def test_costs() -> None:
    """Costs go to the step, or outside of steps to the item and its budget."""
    execution = make(left=100)
    step, _ = execution.begin(call("a"), None)
    execution.add_cost(step, 30, 3)
    execution.add_cost(None, 60, 6)
    row = execution.row(step, "completed")
    assert (row.cost_nusd, row.tokens, row.fence, row.item_id, row.budgeted) == (30, 3, 9, 7, True)
    assert (execution.cost_nusd, execution.tokens) == (60, 6)
    execution.gate(40)
    step.restart()
    assert (step.cost_nusd, step.tokens) == (0, 0)


def test_stable_values() -> None:
    """Two executions of one item give the same UUIDs and idempotency keys; another item others."""

    def values(execution: Execution) -> list[Any]:
        found: list[Any] = [execution.next_uuid(), execution.next_uuid()]
        found.append(execution.idempotency_key("pay", None))
        for _ in range(2):
            step, _ = execution.begin(call("pay"), None)
            found.append(execution.idempotency_key("pay", step))
        return found

    one, same, other = values(make()), values(make()), values(make(key="other"))
    assert one == same
    assert len({*one, *other}) == 10


def test_keys_as_shown() -> None:
    """The second item of one key is shown as key#2."""
    execution = make()
    assert execution.shown_key == "k"
    execution.ordinal = 2
    assert execution.shown_key == "k#2"


def test_outputs() -> None:
    """The output that code inside gave wins over what the function returns; None counts."""
    execution = make()
    assert execution.output_or(1) == 1
    execution.complete(None)
    assert execution.output_or(1) is None


def test_children() -> None:
    """Calls of one agent with one key within an item are numbered, from any thread."""
    execution = make()
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(execution.child_ordinal("a", "k")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(1, 9))
    assert execution.child_ordinal("b", "k") == 1
    assert isinstance(Step(StepKey("a", b"", 1), 1, "task", None, None).began, float)


def test_steps_inside_a_recalled_step_are_counted() -> None:
    """A call after a recalled step is not taken for one inside it, which is not asked for."""
    inner = StepKey("ask", b"", 1)
    known = (
        Known(StepKey("outer", b"", 1), 1, "completed", "1", None, 1),
        Known(inner, 2, "completed", "2", None, 1, None, 1),
    )
    execution = make(*known)
    outer, _ = execution.begin(call("outer"), None)
    execution.skip_inside(outer)
    after, found = execution.begin(call("ask"), None)
    assert (after.key.ordinal, found) == (2, None)
    assert not execution.changed_steps()
