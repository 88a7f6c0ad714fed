"""The pump: one leads, what was lost is swept, what is due is woken and sent again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from papayya_core.carriers import Carrier
from papayya_core.contract import Agent, Send, Submission
from papayya_core.hookspecs import hookimpl
from papayya_core.owner import owner
from papayya_core.pump import Pump
from papayya_core.testing.clock import Clock
from tests.integration.plain.script import Script


class Broker:
    """A carrier that notes what it is to send, or fails."""

    name = "broker"

    def __init__(self) -> None:
        self.sent: list[Send] = []
        self.broken = False

    def send(self, sends: Sequence[Send]) -> None:
        """Take over."""
        if self.broken:
            raise ConnectionError("no broker")
        self.sent += sends

    def ready(self) -> bool:
        """Always."""
        return True

    @hookimpl
    def register_carriers(self, register: Any) -> None:
        """Offer itself."""
        carrier: Carrier = self
        register(carrier)


def test_turns(script: Script, papayya_clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A lost item is swept, woken items are sent with it, and a send that fails is repeated."""
    broker = Broker()
    here = script.start(plugins=[broker])
    store = here.engine().store
    run = store.start_run("r", carrier="broker")
    ref = here.register(Agent("tag", "v1"))
    batch = [Submission("acme", key, key.encode()) for key in ("lost", "late", "busy")]
    lost, late, _ = [row.item_id for row in store.capture(run.id, ref.agent_id, batch)]
    store.open(lost, ref)
    opened = store.open(late, ref)
    assert opened.fence is not None
    store.release(late, opened.fence, "waiting", delay=10.0)

    pump = Pump(store, here.plugins, here.settings, "a/b/c/1/2")
    other = Pump(store, here.plugins, here.settings, "a/b/c/3/4")
    assert pump.turn()[0] is True
    assert other.turn() == (False, [], 0, 0, None)
    papayya_clock.shift(30)
    broker.broken = True
    turn = pump.turn()
    assert (turn.woken, turn.sent) == (1, 1)
    assert "no broker" in caplog.text
    papayya_clock.shift(61)
    broker.broken = False
    turn = pump.turn()
    assert [(one.key, one.locked_by, one.state) for one in turn.swept] == [
        ("lost", owner(), "queued")
    ]
    sent = sorted((one.key, one.dispatch_no, one.sends) for one in broker.sent)
    assert sent == [("late", 0, 2), ("lost", 0, 1)]
    papayya_clock.shift(30)
    assert other.turn().leading
    assert script.states() == {"lost": "queued", "late": "queued", "busy": "queued"}


def test_the_dead_of_this_machine(script: Script) -> None:
    """A pump that does not lead still ends the dispatches of processes that died here."""
    here = script.start()
    store = here.engine().store
    run = store.start_run("r")
    ref = here.register(Agent("tag", "v1"))
    [captured] = store.capture(run.id, ref.agent_id, [Submission("acme", "k", b"k")])
    store.open(captured.item_id, ref)
    place, pid, start = owner().rsplit("/", 2)
    script.change("UPDATE papayya.dispatch SET locked_by = %s", f"{place}/{pid}/{int(start) + 1}")
    leader = Pump(store, here.plugins, here.settings, "a/b/c/1/2")
    assert leader._lead()
    swept = Pump(store, here.plugins, here.settings, owner()).turn()
    assert not swept.leading
    assert [one.key for one in swept.swept] == ["k"]
    assert script.states() == {"k": "queued"}
