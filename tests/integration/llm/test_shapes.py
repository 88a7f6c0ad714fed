"""Every way to ask a model, in an item that dies after it: paid once, and answered alike."""

from __future__ import annotations

import pytest

from tests.integration.llm.shapes import ASYNC, SYNC
from tests.integration.llm.world import Twice, World

pytestmark = pytest.mark.usefixtures("known_host")


def test_there_are_enough() -> None:
    """The table has at least thirty shapes."""
    assert len(SYNC) + len(ASYNC) >= 30


@pytest.mark.parametrize("name", SYNC)
def test_sync(shared: World, name: str) -> None:
    """The second execution sends nothing, and its caller sees the same."""
    _check(shared, shared.twice(lambda: SYNC[name](shared.url)))


@pytest.mark.parametrize("name", ASYNC)
def test_async(shared: World, name: str) -> None:
    """The same on an event loop."""
    _check(shared, shared.atwice(lambda: ASYNC[name](shared.url)))


def _check(world: World, found: Twice) -> None:
    first, second = found.answers
    assert first == second
    assert found.requests == [1, 0]
    states, costs = zip(*world.calls(found.run, "state, cost_nusd"), strict=True)
    assert states == ("answered", "replayed")
    assert costs[1] == 0
    [entry] = found.asked[0]
    [paid] = world.calls(found.run, "state, tokens_input, tokens_output, status, schema")[:1]
    assert paid[1:4] == (entry.prompt_tokens, entry.output_tokens, 200)
    assert not [said for said in world.findings() if said[0] != "exception"]
