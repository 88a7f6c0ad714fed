"""A killed item makes no further call, and what is on its way is recorded whole."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from papayya import ItemWasCancelled, agent, run
from papayya_core.store import acts
from tests.integration.llm import shapes
from tests.integration.llm.shapes import ASK, STREAM
from tests.integration.llm.world import World


def kill(world: World, name: str) -> None:
    """Kill a run by hand, from elsewhere."""
    with psycopg.connect(world.script.dsn, autocommit=True) as connection:
        acts.cancel(connection, name, "stop")


def test_next_call_is_not_sent(world: World) -> None:
    """A call in a step of a killed item is refused before it is sent, whatever the code makes of it."""

    @agent(name="killed")
    def body(item: int) -> None:
        with shapes.gpt(world.url) as client:

            def twice() -> None:
                client.chat.completions.create(**ASK)
                kill(world, "killed")
                client.chat.completions.create(**ASK)

            run.task("twice", twice)

    before = len(world.stand_in.entries())
    with run("killed", run_id="killed"), pytest.raises(ItemWasCancelled):
        body(1)
    assert len(world.stand_in.entries()) == before + 1
    assert world.calls("killed") == ["answered"]
    cost = "SELECT state::text, cost_nusd > 0 FROM papayya.item_now WHERE run = 'killed'"
    assert world.script.one(cost) == ("cancelled", True)


def test_next_step_is_not_begun(world: World) -> None:
    """After the step in which an item was killed, no other begins; what it has paid is kept."""
    begun: list[str] = []

    @agent(name="steps")
    def body(item: int) -> None:
        run.task("first", kill, world, "steps", key="1")
        run.task("second", begun.append, "second")

    with run("steps", run_id="steps"), pytest.raises(ItemWasCancelled):
        body(1)
    assert begun == []


def test_a_stream_is_not_cut(world: World) -> None:
    """A stream that is being read when its item is killed is read to its end, and recorded."""
    read: list[Any] = []

    @agent(name="streams")
    def body(item: int) -> None:
        with shapes.gpt(world.url) as client:
            for n, piece in enumerate(client.chat.completions.create(**ASK, **STREAM)):
                if n == 0:
                    kill(world, "streams")
                read.append(piece)
            client.chat.completions.create(**ASK, max_tokens=3)

    before = len(world.stand_in.entries())
    with run("streams", run_id="streams"), pytest.raises(ItemWasCancelled):
        body(1)
    assert read[-1].usage is not None
    assert len(world.stand_in.entries()) == before + 1
    found = world.calls("streams", "state, finish, cost_nusd > 0")
    assert found == [("answered", "stop", True)]


def test_repeated_and_after_a_restart(world: World) -> None:
    """A killed run stays so in the next process, however often it is killed: nothing is called."""

    @agent(name="again")
    def body(item: int) -> Any:
        with shapes.gpt(world.url) as client:
            return client.chat.completions.create(**ASK).model

    with run("again", run_id="again"):
        body(1)
    kill(world, "again")
    kill(world, "again")
    world.script.start()
    before = len(world.stand_in.entries())
    with run("again", run_id="again"):
        results = {one.key: one.state for one in body.map([2, 3])}
    assert results == {"2": "cancelled", "3": "cancelled"}
    assert len(world.stand_in.entries()) == before
