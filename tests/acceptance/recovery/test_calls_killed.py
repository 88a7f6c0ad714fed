"""A body without a step that dies at its third call: what was answered is not bought again."""

from __future__ import annotations

import psycopg
import pytest

from papayya_core.audit import audit
from papayya_core.fake_provider.book import read
from tests.acceptance.recovery.world import World
from tests.chaos import calls_books

STATES = "SELECT state::text FROM papayya.call ORDER BY state::text"


@pytest.mark.parametrize(
    ("place", "payments", "states"),
    [
        ("sending", 3, ["answered"] * 3 + ["replayed"] * 2 + ["uncertain"]),
        ("in flight", 4, ["answered"] * 3 + ["replayed"] * 2 + ["uncertain"]),
        ("answered", 3, ["answered"] * 3 + ["replayed"] * 3),
    ],
)
def test_three_calls(world: World, place: str, payments: int, states: list[str]) -> None:
    """Three payments, not five, and one more only for what was in flight; the books say so."""
    world.calls = True
    calls_books.set_prices(world.dsn)
    silence = {"kind": "timeout", "match": "/third", "times": 1}
    world.stand_in.faults(*[silence] * (place == "in flight"))
    process = world.start("three_calls.py", place)
    if place == "in flight":
        world.until_asked(3)
        process.kill()
    assert process.wait() == -9, process.complained
    said = world.start("three_calls.py", place).succeed().said
    world.cli("pump", "--once").succeed()
    paid = world.stand_in.paid()
    assert len(paid) == payments
    assert world.query(STATES) == [(state,) for state in states]
    assert said.split() == [entry.response_id for entry in paid if entry.fault is None]
    books = calls_books.reckon(calls_books.read(world.dsn), read(world.stand_in.ledger_path), ())
    assert books.ledger - books.spent == sum(e.cost_nusd for e in paid if e.fault is not None)
    with psycopg.connect(world.dsn, autocommit=True) as connection:
        assert audit(connection, world.run).explained
