"""The pump tells observers of items that stand out, once, also while they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from papayya_core import context, outliers
from papayya_core.contract import Transition
from papayya_core.hookspecs import hookimpl
from papayya_core.outliers import OutlierWatch
from papayya_core.plugins import Plugins
from papayya_core.pump import Pump
from tests.integration.cli_world import DIME, World, step, world


class Observer:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Transition] = []

    @hookimpl
    def on_transition(self, transition: Transition) -> None:
        """Take it down, and fail."""
        self.told.append(transition)
        raise RuntimeError("an observer's own trouble")


def costing(dimes: int) -> Callable[[Any], None]:
    """An agent's body with one step that reports its cost."""

    def buy(number: int) -> None:
        execution = context.current()
        assert execution is not None
        execution.add_cost(context.current_step(), number * DIME, 10)

    return lambda value: step("buy", buy, dimes)


@pytest.fixture
def filled(papayya_database: str) -> Iterator[World]:
    """A run of 24 usual items, and one at work that costs a lot."""
    with world(papayya_database) as made:
        run = made.run("r")
        for n in range(24):
            made.carry(run, f"k{n}", costing(1 + n % 3))
        with context.executing(made.open(run, "runaway")):
            costing(90)(None)
        yield made


def test_told_once(filled: World) -> None:
    """An observer learns of it from the leader's turn, with the finding; not a second time."""
    observer = Observer()
    plugins, settings = Plugins((), [observer]), filled.runtime.settings
    Pump(filled.store, plugins, settings, "a/b/c/1/2").turn()
    [told] = observer.told
    assert (told.event, told.key, told.state, told.outcome) == (
        "outlier",
        "runaway",
        "running",
        None,
    )
    [finding] = told.findings
    assert (finding.check, finding.severity, finding.evidence["by"]) == ("outlier", "note", "cost")
    assert told.reason == finding.reason
    assert told.cost_nusd == 90 * DIME
    assert OutlierWatch(filled.store, plugins, 3.5).look() == []
    assert len(observer.told) == 1


def test_states_are_events_of_their_own(filled: World) -> None:
    """A transition to another state says that it is one."""
    assert Transition("r", "t", "a", "k", 1, "completed", "ok", None, 0).event == "state"


def test_now_and_then(filled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at the first turn, then only when it is time again; with a score of 0 never."""
    assert OutlierWatch(filled.store, Plugins(()), 0).look() == []
    watch = OutlierWatch(filled.store, Plugins(()), 1000)
    assert watch.look() == []
    watch._score = 3.5
    assert watch.look() == []
    monkeypatch.setattr(outliers, "EVERY", 0)
    assert [one.key for one in watch.look()] == ["runaway"]


def test_only_the_leader_looks(filled: World) -> None:
    """A pump that does not lead leaves it to the one that does."""
    observer = Observer()
    settings = filled.runtime.settings
    leader = Pump(filled.store, Plugins(()), settings, "a/b/c/1/2")
    assert leader._lead()
    Pump(filled.store, Plugins((), [observer]), settings, "a/b/c/3/4").turn()
    assert observer.told == []


def test_trouble_is_not_the_pumps(filled: World, caplog: pytest.LogCaptureFixture) -> None:
    """When it cannot look, that is logged, and the turn goes on."""

    class Away:
        def fetch(self, name: str, params: object) -> None:
            raise ConnectionError("no Postgres")

    assert OutlierWatch(Away(), Plugins(()), 3.5).look() == []  # type: ignore[arg-type]
    assert "no look at outliers" in caplog.text


def test_what_ended_while_it_could_not_look(filled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a look that was not possible the next one goes back to the last that was."""
    asked: list[float] = []

    class Sometimes:
        def fetch(self, name: str, params: dict[str, float]) -> list[Any]:
            asked.append(params["seconds"])
            if len(asked) == 2:
                raise ConnectionError("no Postgres")
            return filled.store.fetch(name, params)

    moments = iter([100.0, 120.0, 140.0, 160.0])
    monkeypatch.setattr(outliers, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    watch = OutlierWatch(Sometimes(), Plugins(()), 1000)  # type: ignore[arg-type]
    for _ in range(4):
        assert watch.look() == []
    assert asked == [60.0, 21.0, 41.0, 21.0]
