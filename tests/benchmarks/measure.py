"""Rounds A B C A B C …, so that a slow moment of the machine hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from tests.benchmarks.server import Server
from tests.benchmarks.subjects import STEPS, Subject


@dataclass(frozen=True, slots=True)
class Sample:
    """One subject in one round, per step: wall and processor time (client, server) in µs."""

    wall: float
    client: float
    server: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """One subject at one number of workers; ``samples`` has one entry per round."""

    name: str
    workers: int
    samples: tuple[Sample, ...]

    @property
    def wall(self) -> float:
        return median(sample.wall for sample in self.samples)

    @property
    def client(self) -> float:
        return fmean(sample.client for sample in self.samples)

    @property
    def server(self) -> float | None:
        """The mean, as the kernel counts in ticks of 10 ms; None when it cannot be seen."""
        seen = [sample.server for sample in self.samples if sample.server is not None]
        return fmean(seen) if seen else None

    @property
    def cpu(self) -> float | None:
        return None if self.server is None else self.client + self.server

    def times(self, other: Result) -> float:
        """Tell how many times longer than the other: the median of the rounds' own ratios."""
        pairs = zip(self.samples, other.samples, strict=True)
        return median(mine.wall / theirs.wall for mine, theirs in pairs)


def measure(
    server: Server,
    subjects: Sequence[Subject],
    workers: int,
    rounds: int,
    items: int,
    tell: Callable[[str], None],
) -> list[Result]:
    """Run all subjects in turn; the first round warms up and does not count."""
    samples: dict[str, list[Sample]] = {subject.name: [] for subject in subjects}
    for number in range(rounds + 1):
        for subject in subjects:
            tell(f"{workers} workers, round {number} of {rounds}: {subject.name}")
            count = max(workers, round(items * subject.weight))
            sample = _once(server, subject, workers, count)
            if number:
                samples[subject.name].append(sample)
    return [Result(name, workers, tuple(found)) for name, found in samples.items()]


def _once(server: Server, subject: Subject, workers: int, items: int) -> Sample:
    subject.prepare(items)
    served, used, began = server.cpu_seconds(), time.process_time(), time.perf_counter()
    subject.work(workers)
    wall, client = time.perf_counter() - began, time.process_time() - used
    after = server.cpu_seconds()
    subject.finish()
    scale = 1e6 / (items * STEPS)
    on_server = None if after is None or served is None else (after - served) * scale
    return Sample(wall * scale, client * scale, on_server)
