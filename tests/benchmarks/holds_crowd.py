"""Workers at the same time, in threads and processes: who is ready waits, then all begin at once."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Protocol

from tests.benchmarks.server import Server

WARM = 8  # a server process plans a function's statements anew the first five times
_FORK = multiprocessing.get_context("fork")


class Worker(Protocol):
    """One worker with a connection of its own. ``hold``: a handle, None when it is refused."""

    def hold(self) -> Any: ...

    def settle(self, handle: Any, nusd: int) -> None: ...

    def close(self) -> None: ...


Hire = Callable[[int], Worker]
"""Makes the worker of a number; called in the process and thread in which it works."""
Task = Callable[[Worker, Callable[[], bool]], dict[str, int]]
"""What a worker does until it is told that it is over; counts."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """So many processes with so many threads each."""

    processes: int
    threads: int

    @property
    def workers(self) -> int:
        return self.processes * self.threads

    def __str__(self) -> str:
        if self.processes > 1:
            return f"{self.processes} processes"
        return f"{self.threads} thread{'s' * (self.threads > 1)}"


@dataclass(slots=True)
class Done:
    """What a crowd did; processor time in seconds, the server's None where it cannot be seen."""

    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    client: float = 0.0
    server: float | None = None


def work(
    crowd: Crowd, hire: Hire, task: Task, seconds: float, server: Server | None, warm: int = WARM
) -> Done:
    """Let a crowd work for so many seconds, each after ``warm`` pairs that do not count."""
    pipes = [start(crowd, n, hire, task, seconds, warm) for n in range(crowd.processes)]
    for _, pipe in pipes:
        pipe.recv()
    before = server.cpu_seconds() if server else None
    began = time.perf_counter()
    for _, pipe in pipes:
        pipe.send(True)
    done = Done()
    for process, pipe in pipes:
        counts, client = json.loads(pipe.recv())
        done.client += client
        for name, count in counts.items():
            done.counts[name] = done.counts.get(name, 0) + count
        process.join()
    done.seconds = time.perf_counter() - began
    after = server.cpu_seconds() if server else None
    done.server = None if before is None or after is None else after - before
    return done


def start(
    crowd: Crowd, n: int, hire: Hire, task: Task, seconds: float, warm: int
) -> tuple[Any, Connection]:
    """Start one process of a crowd; its pipe says when it is ready, is told to go, and says what it did."""
    here, there = _FORK.Pipe()
    process = _FORK.Process(target=_process, args=(there, crowd, n, hire, task, seconds, warm))
    process.start()
    there.close()
    return process, here


def _process(
    pipe: Connection, crowd: Crowd, n: int, hire: Hire, task: Task, seconds: float, warm: int
) -> None:
    ready = threading.Barrier(crowd.threads + 1)
    go = threading.Event()
    ends = [0.0]
    totals: dict[str, int] = {}
    mutex = threading.Lock()

    def run(worker_n: int) -> None:
        worker = hire(worker_n)
        for _ in range(warm):
            worker.settle(worker.hold(), 1)
        ready.wait()
        go.wait()
        counts = task(worker, lambda: time.perf_counter() > ends[0])
        with mutex:
            for name, count in counts.items():
                totals[name] = totals.get(name, 0) + count
        with suppress(Exception):
            worker.close()

    threads = [
        threading.Thread(target=run, args=(n * crowd.threads + k,)) for k in range(crowd.threads)
    ]
    for thread in threads:
        thread.start()
    ready.wait()
    pipe.send("ready")
    pipe.recv()
    used, ends[0] = time.process_time(), time.perf_counter() + seconds
    go.set()
    for thread in threads:
        thread.join()
    pipe.send(json.dumps([totals, time.process_time() - used]))


def pairs(most: int, cost: Callable[[], int]) -> Task:
    """Hold and settle, again and again."""

    def task(worker: Worker, over: Callable[[], bool]) -> dict[str, int]:
        done = 0
        while not over():
            handle = worker.hold()
            if handle is None:
                raise AssertionError("a budget that is never used up refused a hold")
            worker.settle(handle, cost())
            done += 1
        return {"done": done}

    return task


def holds(worker: Worker, over: Callable[[], bool]) -> dict[str, int]:
    """Hold, and never settle."""
    done = 0
    while not over():
        if worker.hold() is None:
            raise AssertionError("a budget that is never used up refused a hold")
        done += 1
    return {"done": done}
