"""Owners name processes; only a process that is certainly gone is dead."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from papayya_core import owner as owners


def test_this_process_lives() -> None:
    """A process is not dead to itself, and keeps its name."""
    assert owners.owner() == owners.owner()
    assert not owners.is_dead(owners.owner())
    assert len(owners.owner().split("/")) == 5


def name_of(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


CHILD = "from papayya_core.owner import owner; print(owner(), flush=True); input()"


def child() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_process_that_ended() -> None:
    """A child is alive until it ends, and dead after that, waited for or not."""
    with child() as process:
        name = name_of(process)
        assert not owners.is_dead(name)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
        assert owners.is_dead(name)
        process.wait()
        assert owners.is_dead(name)
        assert owners.dead([name, owners.owner()]) == [name]


def test_a_pid_that_is_used_again() -> None:
    """Another process with the same pid is not the owner."""
    place, pid, start = owners.owner().rsplit("/", 2)
    assert owners.is_dead(f"{place}/{pid}/{int(start) + 1}")


def test_a_fork_is_another_owner() -> None:
    """A forked child has a name of its own."""
    mine = owners.owner()
    code = (
        "import os; from papayya_core.owner import owner; mine = owner(); pid = os.fork();\n"
        "if pid == 0: print(owner() != mine, flush=True); os._exit(0)\n"
        "os.waitpid(pid, 0)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "True"
    assert owners.owner() == mine


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nonsense",
        "a/b/c/d/e",
        "a/b/c/1/2",
        "/".join(["x"] * 6),
        "otherhost/12345678/4026531836/1/1",
    ],
)
def test_strangers_are_not_judged(name: str) -> None:
    """Whoever is not of this machine, boot and pid namespace is never called dead."""
    assert not owners.is_dead(name)


def test_same_place_no_number() -> None:
    """A name of this place without a pid is not judged."""
    place = owners.owner().rsplit("/", 2)[0]
    assert not owners.is_dead(f"{place}/pid/start")
