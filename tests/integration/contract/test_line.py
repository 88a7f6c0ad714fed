"""The line before a broker, in SQL: how many are let out at a time, and for what weights."""

from __future__ import annotations

from tests.integration.contract.sql import Contract

OUT = """
SELECT t.name FROM papayya.item i JOIN papayya.tenant t ON t.id = i.tenant_id
WHERE i.send_at IS NOT NULL ORDER BY i.send_at, i.id
"""


def let_out(db: Contract, most: int | None, limit: int) -> tuple[int, bool]:
    """Let items out of the line."""
    count, more = db.call("let_out", carrier="test", most=most, limit=limit)
    return count, more


def lined_up(db: Contract, *tenants: str, count: int = 4) -> None:
    """Put items of tenants in line, as if they had been parked and resumed."""
    messages = [{"k": f"{who}-{n}", "t": who} for who in tenants for n in range(count)]
    db.publish(*messages)
    db.rows("UPDATE papayya.item SET line_at = papayya.now(), send_at = NULL, sends = 0")


def test_so_many_at_a_time(db: Contract) -> None:
    """However many tenants have room, no more are let out at once than are sent, and in turns."""
    lined_up(db, "a", "b", "c")
    assert let_out(db, 3, 4) == (4, True)
    assert [row[0] for row in db.rows(OUT)] == ["a", "b", "c", "a"]
    assert len(db.sends()) == 4
    assert let_out(db, 3, 4) == (4, True)
    assert len(db.sends()) == 4
    assert let_out(db, 3, 4) == (1, True)
    assert let_out(db, None, 100) == (3, False)


def test_any_weight(db: Contract) -> None:
    """A tenant of whatever weight may publish."""
    db.rows("SELECT papayya.set_weight_v1('acme', 1e300)")
    [(_, item, *_)] = db.publish("k")
    assert db.one("SELECT papayya.line_up_v1(ARRAY[%s::bigint], 100, 0)", item) == []
