"""Holds per second, and what a cap lets through: ``python -m tests.benchmarks.holds [--write]``.

Ways to keep a budget, in turn: bare INSERTs, a look before and an add after, one hot row under its
lock, LiteLLM's reservations, and Papayya. On one account and over 200; by threads and processes.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks import holds_cap, holds_crowd
from tests.benchmarks.holds_crowd import Crowd, Done
from tests.benchmarks.holds_rivals import (
    MOST,
    Floor,
    HotRow,
    LookThenAdd,
    Papayya,
    SumThenInsert,
    Way,
)
from tests.benchmarks.server import Server
from tests.support.redis_server import RedisServer

DOCUMENT = Path("docs/benchmarks.md")
BEGIN, END = "<!-- holds: begin -->", "<!-- holds: end -->"
PYTHON = Path(".venv-litellm/bin/python")
CROWDS = (Crowd(1, 1), Crowd(1, 16), Crowd(1, 64), Crowd(16, 1))
ACCOUNTS = (1, 200)
ENDLESS = 10**15  # nano-dollars
SPEEDS = (
    "",
    "accounts",
    "workers",
    "pairs/s",
    "x hot row",
    "holds/s",
    "x hot row",
    "CPU µs a pair",
)


@dataclass(slots=True)
class Seen:
    """One way with so many accounts and workers: pairs and holds per second, and CPU, by round."""

    pairs: list[float] = field(default_factory=list)
    holds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


Key = tuple[str, int, str]


class LiteLlm:
    """LiteLLM in an environment of its own; workers are tasks of one event loop per process."""

    def __init__(self, name: str, redis: str | None, process: subprocess.Popen[str]) -> None:
        self.name = name
        self.redis = redis
        self._process = process
        self._n = 0

    def ask(self, crowd: Crowd, accounts: int, mode: str, seconds: float, **more: Any) -> Any:
        """Have one measurement made."""
        self._n += 1
        given: dict[str, Any] = {
            "redis": self.redis,
            "name": f"{self.name}{self._n}",
            "cap": ENDLESS / 10**9,
        }
        given |= {"processes": crowd.processes, "tasks": crowd.threads, "accounts": accounts}
        given |= {"seconds": seconds, "mode": mode} | more
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(given) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    @property
    def key(self) -> str:
        """Name the counter of the last measurement's first account."""
        return f"spend:key:key-{self.name}{self._n}-0"


@contextmanager
def litellm(redis: RedisServer) -> Iterator[list[LiteLlm]]:
    """Start LiteLLM, with counters in the process and in Redis; nothing where it is not installed."""
    if not PYTHON.exists():
        yield []
        return
    command = [str(PYTHON), "tests/benchmarks/holds_litellm.py"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield [
            LiteLlm("litellm, in memory", None, process),
            LiteLlm("litellm, Redis", redis.url(3), process),
        ]
    finally:
        process.kill()
        process.wait()


def cost() -> int:
    """Throw what a call costs: 10 cents, give or take half of it."""
    return random.randint(50_000_000, MOST)


def once(server: Server, way: Way, crowd: Crowd, accounts: int, seconds: float, seen: Seen) -> None:
    """Measure one way in Postgres once."""
    task = holds_crowd.pairs(MOST, cost)
    for rates, job in ((seen.pairs, task), (seen.holds, holds_crowd.holds)):
        way.begin(accounts, crowd.workers, ENDLESS)
        done = holds_crowd.work(crowd, way.hire, job, seconds, server)
        rates.append(done.counts["done"] / done.seconds)
        if rates is seen.pairs:
            seen.cpu.append(_cpu(done))


def _cpu(done: Done) -> float:
    return (done.client + (done.server or 0.0)) * 1e6 / done.counts["done"]


def once_litellm(way: LiteLlm, crowd: Crowd, accounts: int, seconds: float, seen: Seen) -> None:
    """Measure LiteLLM once; Redis's own processor time is not seen."""
    for mode, rates in (("pairs", seen.pairs), ("holds", seen.holds)):
        found = way.ask(crowd, accounts, mode, seconds)
        rates.append(found["done"] / found["seconds"])
        if mode == "pairs":
            seen.cpu.append(found["client"] * 1e6 / found["done"])


def speeds(
    server: Server,
    ways: Sequence[Way],
    others: Sequence[LiteLlm],
    rounds: int,
    seconds: float,
    tell: Callable[[str], None],
) -> dict[Key, Seen]:
    """Measure all ways in turn, round after round."""
    found: dict[Key, Seen] = {}
    for n in range(rounds):
        for accounts in ACCOUNTS:
            for crowd in CROWDS:
                tell(f"round {n + 1} of {rounds}: {accounts} accounts, {crowd}")
                for way in ways:
                    seen = found.setdefault((way.name, accounts, str(crowd)), Seen())
                    once(server, way, crowd, accounts, seconds, seen)
                for other in others:
                    if other.redis is None and crowd.processes > 1:
                        continue  # each process would have counters of its own
                    seen = found.setdefault((other.name, accounts, str(crowd)), Seen())
                    once_litellm(other, crowd, accounts, seconds, seen)
    return found


def speed_lines(found: dict[Key, Seen]) -> list[list[str]]:
    """Lay out medians, and the medians of the rounds' own ratios."""
    lines = []
    for (name, accounts, crowd), seen in found.items():
        rival = found[HotRow.name, accounts, crowd]
        lines.append(
            [
                *(name, str(accounts), crowd, f"{median(seen.pairs):,.0f}"),
                f"{_times(seen.pairs, rival.pairs):.2f}",
                f"{median(seen.holds):,.0f}",
                f"{_times(seen.holds, rival.holds):.2f}",
                f"{median(seen.cpu):,.0f}",
            ]
        )
    return lines


def _times(mine: Sequence[float], theirs: Sequence[float]) -> float:
    return median(a / b for a, b in zip(mine, theirs, strict=True))


@contextmanager
def ways_on(server: Server) -> Iterator[list[Way]]:
    """Make a database for each way, and the ways on them."""
    kinds: list[Callable[[str], Way]] = [Floor, SumThenInsert, LookThenAdd, HotRow, Papayya]
    with ExitStack() as stack:
        ways: list[Way] = []
        for n, kind in enumerate(kinds):
            url = stack.enter_context(server.database(f"papayya_bench_holds_{n}"))
            ways.append(kind(url))
            ways[-1].set_up()
        yield ways


@click.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=0.5, show_default=True, help="Of each measurement.")
@click.option("--runs", default=5, show_default=True, help="Of each way up to its cap.")
@click.option("--only", type=click.Choice(["speed", "cap"]), help="Measure one of the two.")
@click.option("--write", is_flag=True, help=f"Write the tables into {DOCUMENT}.")
def main(rounds: int, seconds: float, runs: int, only: str | None, *, write: bool) -> None:
    """Measure holds, and what caps let through."""
    console, server = Console(width=130), Server()
    facts = server.facts()
    tables: list[tuple[Sequence[str], list[list[str]]]] = []
    began = time.perf_counter()
    with ExitStack() as stack:
        redis = RedisServer(Path(stack.enter_context(TemporaryDirectory())))
        redis.start()
        stack.callback(redis.kill)
        ways = stack.enter_context(ways_on(server))
        others = stack.enter_context(litellm(redis))
        tell = stack.enter_context(console.status("starting")).update
        if only != "cap":
            found = speeds(server, ways, others, rounds, seconds, tell)
            tables.append((SPEEDS, speed_lines(found)))
        if only != "speed":
            lines = holds_cap.measure(ways, others, redis, runs, tell)
            tables.append((holds_cap.HEAD, lines))
    for head, lines in tables:
        table = Table(*head, box=box.SIMPLE)
        for line in lines:
            table.add_row(*line)
        console.print(table)
    said = " · ".join(f"{name} {fact}" for name, fact in facts.items())
    console.print(f"{said} · {time.perf_counter() - began:.0f} s", highlight=False)
    if write:
        _write(tables, said)


def _write(tables: list[tuple[Sequence[str], list[list[str]]]], said: str) -> None:
    body = [BEGIN, f"Measured: {said}.", ""]
    for head, lines in tables:
        rows = [head, ["---", *["---:"] * (len(head) - 1)], *lines]
        body += [*("| " + " | ".join(row) + " |" for row in rows), ""]
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    text = "\n".join([*body[:-1], END])
    DOCUMENT.write_text(before + text + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
