"""Real Celery workers: `celery -A module worker` in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from tests.support.processes import PATIENCE_S, forks, is_alive
from tests.support.program import Program

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
READY = " ready."
QUICK = ("--without-gossip", "--without-mingle", "--without-heartbeat")


class StartWorker(Protocol):
    """What the fixture `celery_worker` gives: start a worker, and wait until it is ready."""

    def __call__(
        self,
        module: Path,
        *,
        pool: str = "prefork",
        concurrency: int = 2,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> CeleryWorker: ...


class CeleryWorker:
    """A worker of the app in a module's file; `args` come last, `env` on top of our own."""

    def __init__(
        self,
        module: Path,
        folder: Path,
        *,
        name: str = "worker",
        pool: str = "prefork",
        concurrency: int = 2,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.pool, self.concurrency = name, pool, concurrency
        options = ["-P", pool, "-c", str(concurrency), "-n", f"{name}@%h", "-l", "INFO", *QUICK]
        celery = [sys.executable, "-m", "celery", "-A", module.stem, "worker"]
        self.program = Program([*celery, *options, *args], folder, name, _environment(module, env))

    @property
    def pid(self) -> int:
        """The process id of the parent."""
        return self.program.pid

    @property
    def children(self) -> list[int]:
        """The processes of a prefork pool, the oldest first; of other pools none."""
        return forks(self.pid)

    def start(self, patience_s: float = PATIENCE_S) -> None:
        """Start it, and wait until it takes tasks; also again, after it was ended."""
        seen = len(self.program.said())
        self.program.start(lambda: self._complete(seen), patience_s)

    def _complete(self, seen: int) -> bool:
        if READY not in self.program.said()[seen:]:
            return False
        return self.pool != "prefork" or len(self.children) >= self.concurrency

    def kill_child(self, pid: int | None = None) -> int:
        """Kill a child, the oldest if none is named, and see it gone; return its process id."""
        victim = self.children[0] if pid is None else pid
        assert victim in self.children, f"{victim} is none of {self.children}"
        os.kill(victim, signal.SIGKILL)
        self.until(lambda: not is_alive(victim), "the child is gone")
        return victim

    def kill_parent(self, *, orphans: bool = False) -> None:
        """Kill the parent, and what is left of its children, unless they may live on as orphans.

        Orphans finish their task; what still runs at the end of the test is killed.
        """
        self.program.kill()
        if not orphans:
            self.program.kill_group()

    def stop(self, patience_s: float = PATIENCE_S) -> int | None:
        """Shut it down warmly, or by force when that takes too long; return its exit code."""
        return self.program.stop(patience_s)

    def until(
        self, condition: Callable[[], T | None], what: str, deadline_s: float = PATIENCE_S
    ) -> T:
        """Wait for a condition; in vain, show the end of the worker's log."""
        return self.program.until(condition, what, deadline_s)

    def said(self) -> str:
        """Return its log."""
        return self.program.said()


def _environment(module: Path, env: Mapping[str, str] | None) -> dict[str, str]:
    path = [str(module.parent), str(ROOT), os.environ.get("PYTHONPATH")]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "PYTHONUNBUFFERED": "1",
        "C_FORCE_ROOT": "1",  # else root may not accept pickle
        **(env or {}),
    }
