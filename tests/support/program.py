"""A program under test's control: started, watched, killed, started again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tests.support.processes import PATIENCE_S, members, until
from tests.support.watchdog import watchdog

T = TypeVar("T")

TAIL_BYTES = 6000


class Program:
    """A process in a group of its own, whose output goes to one log; it never outlives pytest."""

    def __init__(
        self, command: Sequence[str], folder: Path, name: str, env: Mapping[str, str] | None = None
    ) -> None:
        self.command, self.folder, self.name = list(command), folder, name
        self.env = {**os.environ, **(env or {})}
        self.log = folder / f"{name}.log"
        self.popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        assert self.popen is not None, f"{self.name} was not started"
        return self.popen.pid

    @property
    def running(self) -> bool:
        """Whether its first process runs."""
        return self.popen is not None and self.popen.poll() is None

    def start(self, ready: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
        """Start it, and wait until it is ready; nothing to do where it runs.

        Raises AssertionError with the end of its log when it ends before it is ready.
        """
        if self.running:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        watchdog().remember(self.pid)
        self.until(lambda: not self.running or ready(), "it is ready", patience_s)
        assert self.running, f"{self.name} ended at its start\n{self.tail()}"

    def until(
        self, condition: Callable[[], T | None], what: str, deadline_s: float = PATIENCE_S
    ) -> T:
        """Wait for a condition; in vain, show the end of the log."""
        return until(condition, f"{self.name}: {what}", deadline_s, self.tail)

    def kill(self) -> None:
        """Kill its first process without warning, and leave its children to themselves."""
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()

    def kill_group(self) -> None:
        """Kill it and whatever is left of its group, and see them gone."""
        if self.popen is None:
            return
        with suppress(ProcessLookupError):
            if members(self.pid):
                os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()
        self.until(lambda: not members(self.pid), "all of it is gone")
        watchdog().forget(self.pid)

    def stop(self, patience_s: float = PATIENCE_S) -> int | None:
        """End it politely, or else by force; return its exit code, None where it wasn't started."""
        if self.popen is None:
            return None
        self.popen.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(patience_s)
        self.kill_group()
        return self.popen.returncode

    def said(self) -> str:
        """Return what it printed since it was first started."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self) -> str:
        """Return the end of its log, for a message."""
        return f"the end of {self.log}:\n{self.said()[-TAIL_BYTES:]}"
