"""Two processes that work on one run at the same time."""

from __future__ import annotations

from tests.acceptance.recovery.world import World

ITEMS = 60


def test_each_item_is_done_once(world: World) -> None:
    """Two scripts started together share the items: each is delivered once and paid once."""
    world.settings |= {"PAPAYYA_LEASE_SECONDS": "20"}
    for process in [world.start("tag.py", ITEMS, 4), world.start("tag.py", ITEMS, 4)]:
        assert process.succeed().said.count("completed") == ITEMS
    books = world.compare()
    assert books.audit.totals.done == ITEMS
    assert (books.extras, books.audit.lost) == ((), ())
    deliveries = world.query("SELECT ending, count(*) FROM papayya.dispatch GROUP BY 1")
    assert deliveries == [("completed", ITEMS)]
    assert world.value("SELECT count(DISTINCT locked_by) FROM papayya.dispatch") == 2
