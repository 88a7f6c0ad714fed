"""The queue whose tenants take turns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from papayya.turns import Turns


def drained(turns: Turns[str]) -> Iterator[str]:
    while True:
        try:
            yield turns.take()
        except LookupError:
            return


def test_tenants_take_turns() -> None:
    """Each turn is another tenant's, whoever came first, and each tenant's own order is kept."""
    turns: Turns[str] = Turns()
    for tenant, count in (("a", 4), ("b", 2), ("c", 1)):
        for n in range(count):
            turns.put(tenant, f"{tenant}{n}")
    assert list(drained(turns)) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


def test_what_had_its_turn_comes_first() -> None:
    """What comes back from a wait does not queue behind what was never begun."""
    turns: Turns[str] = Turns()
    turns.put("a", "new")
    turns.put("a", "back", first=True)
    turns.put("b", "back too", first=True)
    assert list(drained(turns)) == ["back", "back too", "new"]


def test_who_comes_late_is_next() -> None:
    """A tenant that comes while another has a long line waits for one turn of it, not for the line."""
    turns: Turns[str] = Turns()
    for n in range(3):
        turns.put("a", f"a{n}")
    taken = [turns.take()]
    turns.put("b", "b0")
    assert [*taken, *drained(turns)] == ["a0", "a1", "b0", "a2"]


def test_nothing_there() -> None:
    """An empty queue says so."""
    with pytest.raises(LookupError):
        Turns[str]().take()


def test_a_line_may_stand() -> None:
    """Of a tenant that rests only what had its turn is taken, until it goes on."""
    turns: Turns[str] = Turns()
    turns.put("a", "a0")
    turns.put("b", "b0")
    turns.rest("a")
    turns.put("a", "a1")
    turns.put("a", "back", first=True)
    assert len(turns) == 2
    assert list(drained(turns)) == ["back", "b0"]
    assert turns.go_on("a") == 2
    assert turns.go_on("b") == 0
    assert list(drained(turns)) == ["a0", "a1"]
