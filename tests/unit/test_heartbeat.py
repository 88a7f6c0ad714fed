"""The process that renews leases, seen from its worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from papayya_core.heartbeat import Heartbeat
from papayya_core.owner import owner
from papayya_core.settings import Settings

NOWHERE = "host=/nonexistent connect_timeout=1"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def heart() -> Iterator[Heartbeat]:
    """A heartbeat that finds no database, and would beat often."""
    settings = Settings.load({}, heartbeat="process", heartbeat_seconds=0.05, lease_seconds=1.0)
    made = Heartbeat(NOWHERE, settings, owner())
    yield made
    made.stop()


def pid_of(heart: Heartbeat) -> int:
    assert heart._process is not None
    return heart._process.pid


def test_it_is_started_again(heart: Heartbeat) -> None:
    """A heartbeat that was killed is replaced."""
    first = pid_of(heart)
    os.kill(first, signal.SIGKILL)
    until(lambda: pid_of(heart) != first)
    second = pid_of(heart)
    heart.ensure()
    assert pid_of(heart) == second


def test_it_ends(heart: Heartbeat) -> None:
    """Stopping ends it although somebody else holds its stdin, and nothing starts it again."""
    assert heart._process is not None
    assert heart._process.stdin is not None
    copy = os.dup(heart._process.stdin.fileno())
    heart.stop()
    os.close(copy)
    assert heart._process.poll() is not None
    last = pid_of(heart)
    heart.ensure()
    assert pid_of(heart) == last


def test_one_that_hangs(heart: Heartbeat) -> None:
    """A heartbeat that is stopped does not keep its worker."""
    os.kill(pid_of(heart), signal.SIGSTOP)
    heart.stop()
    assert heart._process is not None
    assert heart._process.poll() is not None
