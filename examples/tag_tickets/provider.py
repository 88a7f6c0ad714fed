"""The stand-in for a model provider: a process of its own, shared by the demos of one run.

Each demo holds a lock on the run's directory, and the kernel lets go of it when one is killed.
Who leaves last ends the stand-in; one that a killed demo left behind is used again by the next
start of its run, or ended by the next start of any other. The ledger goes on all the while.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LATENCY_MS = "20:60"
PATIENCE_S = 20.0
_PAUSE_S = 0.02

FAULTS_FROM = 20  # items; with fewer nothing goes wrong on purpose
# What goes wrong, and at which share of the items: 0.217 of 1,000 is the 217th.
_FAULTS: tuple[tuple[float, dict[str, Any]], ...] = (
    (0.041, {"kind": "rate_limit", "times": 1, "params": {"retry_after": 1}}),
    (0.217, {"kind": "rate_limit", "times": 1, "params": {"retry_after": 1}}),
    (0.463, {"kind": "rate_limit", "times": 1, "params": {"retry_after": 3}}),
    (0.792, {"kind": "rate_limit", "times": 1, "params": {"retry_after": 1}}),
    (0.318, {"kind": "refusal"}),
    (0.584, {"kind": "schema_violation", "params": {"how": "enum"}}),
    (0.871, {"kind": "truncation"}),
)


class StandInError(Exception):
    """The stand-in does not start; the message says what it said."""


@contextmanager
def stand_in(directory: Path, items: Sequence[str], seed: int) -> Iterator[str]:
    """Run the stand-in of a run, with its ledger in ``directory``; yield its address."""
    directory.mkdir(parents=True, exist_ok=True)
    _end_orphans(directory.parent)
    _write_faults(directory, items)
    lock = _lock(directory, fcntl.LOCK_SH)
    try:
        yield _address(directory) or _start(directory, seed)
    finally:
        os.close(lock)
        _end_unused(directory)


def _write_faults(directory: Path, items: Sequence[str]) -> None:
    faults = _FAULTS if len(items) >= FAULTS_FROM else ()
    rules = [{**fault, "item": items[round(len(items) * share) - 1]} for share, fault in faults]
    fresh = directory / f"faults.{os.getpid()}"
    fresh.write_text(json.dumps(rules), encoding="utf-8")
    fresh.replace(directory / "faults.json")


def _start(directory: Path, seed: int) -> str:
    """Start a stand-in; if another process is quicker, theirs serves as well."""
    command = [sys.executable, "-m", "papayya_core.fake_provider", "--seed", str(seed)]
    command += ["--ledger", str(directory / "ledger.jsonl")]
    command += ["--port-file", str(directory / "port")]
    command += ["--faults", str(directory / "faults.json"), "--latency-ms", LATENCY_MS]
    with (directory / "stand-in.log").open("ab") as log:
        started = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the demo, which then ends it
        )
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        address = _address(directory)
        if address is not None:
            return address
        started.poll()
        time.sleep(_PAUSE_S)
    said = (directory / "stand-in.log").read_text(errors="replace")[-500:].strip()
    raise StandInError(f"the stand-in does not start: {said or 'it says nothing'}")


def _address(directory: Path) -> str | None:
    """Find the running stand-in of a directory."""
    health = _health(directory)
    return None if health is None else f"{health['url']}/v1"


def _health(directory: Path) -> dict[str, Any] | None:
    """Ask who listens on the noted port; None unless it is the one that keeps our ledger."""
    try:
        url = f"http://127.0.0.1:{int((directory / 'port').read_text())}"
        with _direct.open(f"{url}/_control/health", timeout=5) as reply:
            health = json.load(reply)
    except (OSError, ValueError):
        return None
    ours = isinstance(health, dict) and health.get("ledger") == str(directory / "ledger.jsonl")
    return {**health, "url": url} if ours else None


_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _end_orphans(directory: Path) -> None:
    """End the stand-ins of killed demos that nobody went on with."""
    for run in directory.iterdir():
        if (run / "port").exists():
            _end_unused(run)


def _end_unused(directory: Path) -> None:
    """End the stand-in of a directory unless a demo uses it."""
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        lock = _lock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            health = _health(directory)
            if health is not None:
                _end(directory, int(health["pid"]))
        finally:
            os.close(lock)


def _end(directory: Path, pid: int) -> None:
    """Tell a stand-in to end, and wait until it has."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and _health(directory) is not None:
        time.sleep(_PAUSE_S)
    (directory / "port").unlink(missing_ok=True)


def _lock(directory: Path, how: int) -> int:
    """Lock a directory until the returned descriptor is closed."""
    file = os.open(directory / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, how)
    except BaseException:
        os.close(file)
        raise
    return file
