"""Up to the cap: how much more is spent than it allows, and what workers that are killed leave held."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.benchmarks import holds_crowd
from tests.benchmarks.holds_crowd import Crowd, Task, Worker
from tests.benchmarks.holds_rivals import MOST, Floor, Papayya, Way
from tests.support.redis_server import RedisServer

CAP = 5 * 10**9
THREADS, PROCESSES, KILLED = Crowd(1, 64), Crowd(16, 1), 4
_LET_THROUGH = 20  # calls before workers are killed
_PATIENCE = 2.0  # seconds in which what others hold should come back
HEAD = (
    "a cap of $5, calls of $0.10 ± 50 %",
    "spent too much, 64 threads",
    "16 processes",
    "4 of them killed -9",
    "then held in vain",
    "told by whom",
    "after reconciling",
)


def measure(
    ways: Sequence[Way],
    others: Sequence[Any],
    redis: RedisServer,
    runs: int,
    tell: Callable[[str], None],
) -> list[list[str]]:
    """Spend up to the cap in each way: the most over all runs."""
    lines = []
    for way in ways:
        if isinstance(way, Floor):
            continue
        tell(f"up to the cap: {way.name}")
        over = [_spend(way, THREADS, 0) for _ in range(runs)]
        over_2 = [_spend(way, PROCESSES, 0) for _ in range(runs)]
        over_3 = [_spend(way, PROCESSES, KILLED) for _ in range(runs)]
        held, rows = way.held()
        left = _reconciled(way) if isinstance(way, Papayya) else held
        lines.append(
            [way.name, *_over(over, over_2, over_3), _usd(held), _rows(held, rows), _usd(left)]
        )
    for way in others:
        tell(f"up to the cap: {way.name}")
        lines.append(_litellm(way, redis, runs))
    return lines


def _over(*found: Sequence[int]) -> list[str]:
    return [_usd(max(0, max(spent) - CAP)) for spent in found]


def _usd(nusd: int) -> str:
    return f"${nusd / 10**9:.2f}"


def _rows(held: int, rows: int) -> str:
    return "-" if not held else f"{rows} rows" if rows else "nobody"


def _reconciled(way: Papayya) -> int:
    way.reconcile()
    return way.held()[0]


def _spender(tell: int) -> Task:
    """Make the task: call after call, each told to a pipe when it goes, until no more may go."""

    def task(worker: Worker, over: Callable[[], bool]) -> dict[str, int]:
        refused_at = 0.0
        while True:
            handle = worker.hold()
            if handle is None:
                refused_at = refused_at or time.monotonic()
                waits = getattr(worker, "waits", False)
                if not waits or time.monotonic() > refused_at + _PATIENCE:
                    return {}
                time.sleep(0.005)
                continue
            refused_at, cost = 0.0, random.randint(50_000_000, MOST)
            os.write(tell, f"{cost}\n".encode())
            time.sleep(random.uniform(0.005, 0.02))  # the call
            worker.settle(handle, cost)

    return task


def _spend(way: Way, crowd: Crowd, kill: int) -> int:
    """Spend until all are refused; return what the calls that went cost, those of the killed too."""
    way.begin(1, crowd.workers, CAP)
    told, tell = os.pipe()

    started = [
        holds_crowd.start(crowd, n, way.hire, _spender(tell), 0, warm=0)
        for n in range(crowd.processes)
    ]
    os.close(tell)
    for _, pipe in started:
        pipe.recv()
    for _, pipe in started:
        pipe.send(True)
    lines = b""
    while piece := os.read(told, 65536):
        lines += piece
        if kill and lines.count(b"\n") >= _LET_THROUGH:
            for process, _ in started[:kill]:
                os.kill(process.pid, signal.SIGKILL)
            kill = 0
            _forget(way, started)
    for process, _ in started:
        process.join()
    os.close(told)
    return sum(map(int, lines.split()))


def _forget(way: Way, started: Sequence[Any]) -> None:
    """Have Papayya doubt what the killed held, as its sweep does when it finds them dead."""
    if isinstance(way, Papayya):
        for process, _ in started[:KILLED]:
            process.join()
        way.sweep(range(1, KILLED + 1))


def _litellm(way: Any, redis: RedisServer, runs: int) -> list[str]:
    over = [way.ask(THREADS, 1, "cap", 0, cap=CAP / 10**9)["spent"] for _ in range(runs)]
    if way.redis is None:
        return [way.name, *_over(over), "-", "-", "-", "-", "-"]
    over_2 = [way.ask(PROCESSES, 1, "cap", 0, cap=CAP / 10**9)["spent"] for _ in range(runs)]
    over_3, held = [], 0
    for _ in range(runs):
        found = way.ask(PROCESSES, 1, "cap", 0, cap=CAP / 10**9, kill=KILLED)
        over_3.append(found["spent"])
        with redis.client(3) as client:
            counted = round(float(client.get(way.key) or 0) * 10**9)
        held = max(held, counted - found["settled"])
    return [way.name, *_over(over, over_2, over_3), _usd(held), _rows(held, 0), _usd(held)]
