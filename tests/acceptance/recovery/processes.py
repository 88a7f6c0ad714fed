"""Real processes for these tests: scripts, the stand-in, and what to do to them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from papayya_core.fake_provider.book import Entry, read

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = Path(__file__).parent / "scripts"
PATIENCE_S = 45.0
_PAUSE_S = 0.01


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:.0f} s in vain: {what}"
        time.sleep(_PAUSE_S)


class Process:
    """A process in a session of its own, whose output is kept in files."""

    def __init__(self, command: list[str], env: Mapping[str, str], log: Path) -> None:
        self.out_path, self.err_path = log.with_suffix(".out"), log.with_suffix(".err")
        with self.out_path.open("wb") as out, self.err_path.open("wb") as err:
            self.popen = subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.popen.pid

    @property
    def said(self) -> str:
        """What it printed."""
        return self.out_path.read_text()

    @property
    def complained(self) -> str:
        """What it printed to stderr."""
        return self.err_path.read_text()

    def send(self, order: signal.Signals) -> None:
        """Send a signal to it and to nothing else."""
        self.popen.send_signal(order)

    def wait(self) -> int:
        """Wait for its end; return its exit code, or minus the signal that ended it."""
        return self.popen.wait(PATIENCE_S)

    def succeed(self) -> Self:
        """Insist on exit code 0."""
        code = self.wait()
        assert code == 0, f"exit code {code}\n{self.complained[-4000:]}"
        return self

    def kill(self) -> None:
        """Kill it without warning."""
        self.send(signal.SIGKILL)
        self.wait()

    def end(self) -> None:
        """See to it that it is gone."""
        if self.popen.poll() is None:
            self.kill()


class StandIn:
    """The model provider: one process on one ledger, which lasts as long as the test."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.ledger_path = folder / "ledger.jsonl"
        port_file = folder / "port"
        module = [sys.executable, "-m", "papayya_core.fake_provider", "--seed", "7"]
        files = ["--ledger", str(self.ledger_path), "--port-file", str(port_file)]
        self.process = Process([*module, *files, *options], os.environ, folder / "stand-in")
        until(port_file.exists, "the stand-in listens")
        self.url = f"http://127.0.0.1:{port_file.read_text().strip()}"

    def paid(self) -> list[Entry]:
        """List what it processed and billed, in order."""
        return [entry for entry in read(self.ledger_path) if entry.ordinal > 0]

    def last(self) -> int:
        """Return the number of the last request."""
        return int(self._control("GET", "health")["last_id"])

    def faults(self, *rules: dict[str, Any]) -> None:
        """Put these fault rules in force instead of those that are."""
        self._control("DELETE", "faults")
        if rules:
            self._control("POST", "faults", list(rules))

    def _control(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_control/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)


def is_alive(pid: int) -> bool:
    """Tell whether a process still runs; one that ended and was not waited for does not."""
    return any(mine == pid and state not in "ZX" for mine, _, state in _processes())


def children(pid: int) -> list[int]:
    """List the processes that a process started."""
    return [mine for mine, parent, _ in _processes() if parent == pid]


def _processes() -> list[tuple[int, int, str]]:
    """List all processes: number, parent's number, first letter of the state."""
    if not Path("/proc/self/stat").exists():
        listing = ["/bin/ps", "-A", "-o", "pid=,ppid=,state="]
        found = subprocess.run(listing, capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in found.splitlines()]
        return [(int(pid), int(parent), state[0]) for pid, parent, state in rows]
    processes = []
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (each / "stat").read_text().rpartition(")")[2].split()[:2]
            processes.append((int(each.name), int(parent), state))
    return processes
