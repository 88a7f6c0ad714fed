"""A noisy neighbour: ``python -m tests.benchmarks.neighbours [--write]``.

One tenant submits 10,000 items, and nineteen others 20 each right after it; all ask one provider,
with one rate limit. How much later do the small ones get their answers than without the large one?
The stand-in's own ledger tells who was answered when, whatever asked.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import psycopg
from rich import box
from rich.console import Console
from rich.table import Table

from papayya_core import migrate
from papayya_core.fake_provider.book import Entry, read
from tests.benchmarks.neighbours_app import FEW, NOISY, SMALL
from tests.benchmarks.server import Server
from tests.support.celery_worker import CeleryWorker
from tests.support.processes import until
from tests.support.redis_server import RedisServer

DOCUMENT = Path("docs/benchmarks.md")
BEGIN, END = "<!-- neighbours: begin -->", "<!-- neighbours: end -->"
HERE = Path(__file__).parent
PATIENCE = 2400.0  # seconds; the burst alone takes 500 at the limit, and refusals are tried again
TAIL = 60.0  # seconds of the burst alone, after the small ones
HEAD = (
    "",
    "small p95, alone s",
    "beside 10,000 s",
    "x alone",
    "Jain",
    "of the limit",
    "429s",
    "requests per answer",
)


@dataclass(frozen=True, slots=True)
class Line:
    """The limit, per minute; what the provider keeps and what Papayya is told."""

    requests: int
    tokens: int

    def spec(self) -> str:
        return f"requests={self.requests},tokens={self.tokens}"


@dataclass(frozen=True, slots=True)
class Seen:
    """One run as the provider saw it; ``submitted``: when the small ones were, as a timestamp."""

    entries: Sequence[Entry]
    submitted: float

    def answered(self) -> list[tuple[float, str, int]]:
        """List the answers: (timestamp, tenant, tokens)."""
        return [
            (_at(one), one.user or "", one.prompt_tokens + one.output_tokens)
            for one in self.entries
            if one.status == 200
        ]

    def p95(self) -> float:
        """Say after how many seconds 19 of 20 items of small tenants were answered."""
        ends = sorted(at - self.submitted for at, tenant, _ in self.answered() if tenant != NOISY)
        return ends[int(len(ends) * 0.95) - 1]

    def jain(self) -> float:
        """Compare what tenants got while all of them had items left (1: the same for all)."""
        left = Counter({f"small-{m}": FEW for m in range(SMALL)})
        got: Counter[str] = Counter()
        for at, tenant, tokens in sorted(self.answered()):
            if at < self.submitted:
                continue
            got[tenant] += tokens
            left[tenant] -= 1
            if tenant != NOISY and left[tenant] == 0:
                break
        shares = [got[f"small-{m}"] for m in range(SMALL)] + [got[NOISY]]
        return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))

    def used(self, line: Line) -> float:
        """Say how much of the limit was used in the last seconds, those of the burst alone included."""
        found = self.answered()
        end = max(at for at, _, _ in found)
        within = [(at, tokens) for at, _, tokens in found if end - TAIL < at <= end]
        tokens = sum(tokens for _, tokens in within) / TAIL * 60 / line.tokens
        return max(tokens, len(within) / TAIL * 60 / line.requests)

    def refused(self) -> int:
        return sum(one.status == 429 for one in self.entries)


def _at(entry: Entry) -> float:
    return datetime.fromisoformat(entry.time).timestamp()


@contextmanager
def provider(folder: Path, line: Line) -> Iterator[tuple[str, Path]]:
    """Run the stand-in with the limit; yield where it listens, and its ledger."""
    port, ledger = folder / "port", folder / "ledger.jsonl"
    command = [sys.executable, "-m", "papayya_core.fake_provider", "--port-file", str(port)]
    command += ["--latency-ms", "50", "--limit", line.spec(), "--ledger", str(ledger)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until(port.exists, "the stand-in listens")
        yield f"http://127.0.0.1:{port.read_text().strip()}/v1", ledger
    finally:
        running.terminate()
        running.wait()


class Plain:
    """A map in one process, with 32 threads."""

    name = "papayya, plain Python"
    own = "plain"

    def __init__(self, server: Server, redis: RedisServer) -> None:
        self.server = server

    @contextmanager
    def running(self, burst: int, folder: Path, env: dict[str, str], dsn: str) -> Iterator[None]:
        command = [sys.executable, "-m", "tests.benchmarks.neighbours_app", "plain", str(burst)]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                command, env=os.environ | env, stdout=log, stderr=subprocess.STDOUT
            )
            try:
                yield
            finally:
                process.kill()
                process.wait()


class Queued(Plain):
    """A Celery worker with 16 threads."""

    name = "papayya, Celery"
    own = "32"

    def __init__(self, server: Server, redis: RedisServer) -> None:
        super().__init__(server, redis)
        self.redis = redis

    @contextmanager
    def running(self, burst: int, folder: Path, env: dict[str, str], dsn: str) -> Iterator[None]:
        self.redis.flushall()
        env = env | {"BENCH_BROKER": self.redis.url(0)}
        worker = CeleryWorker(
            HERE / "neighbours_app.py", folder, pool="threads", concurrency=16, env=env
        )
        worker.start()
        command = [sys.executable, "-m", "tests.benchmarks.neighbours_app", "celery", str(burst)]
        with (folder / "log").open("w") as log:
            publisher = subprocess.Popen(command, env=os.environ | env, stdout=log, stderr=log)
            try:
                yield
            finally:
                publisher.kill()
                publisher.wait()
                worker.program.kill_group()


class Bare(Queued):
    """The same without Papayya: a 429 is tried again, with backoff and jitter."""

    name = "Celery, autoretry"
    own = ""


def once(way: Plain, burst: int, line: Line, tell: Callable[[str], None]) -> Seen:
    """Submit the items, and watch until the small ones are done and a minute of the rest was seen."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        url, ledger = stack.enter_context(provider(folder, line))
        dsn = stack.enter_context(way.server.database("papayya_bench_neighbours"))
        env = {"BENCH_PROVIDER": url}
        if way.own:
            migrate.apply(dsn)
            limit(dsn, line)
            env |= {"BENCH_PAPAYYA": way.own, "PAPAYYA_DATABASE_URL": dsn}
        began = time.time()
        with way.running(burst, folder, env, dsn):
            done_at = 0.0
            while True:
                time.sleep(1)
                entries = read(ledger) if ledger.exists() else []
                small = sum(one.status == 200 and one.user != NOISY for one in entries)
                tell(f"{way.name}, burst of {burst:,}: {small} of {SMALL * FEW} small items")
                if small >= SMALL * FEW and not done_at:
                    done_at = time.time()
                if done_at and (not burst or time.time() > done_at + TAIL):
                    break
                if time.time() > began + PATIENCE:
                    raise AssertionError((folder / "log").read_text()[-2000:])
            at = submitted(dsn) if way.own else said(folder / "log")
        return Seen(read(ledger), at)


def limit(dsn: str, line: Line) -> None:
    """Tell Papayya the limit."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            "SELECT papayya.set_limit_v1(provider => 'openai', requests => %s, tokens => %s)",
            [line.requests, line.tokens],
        )


def submitted(dsn: str) -> float:
    """Say when the last item was submitted."""
    with psycopg.connect(dsn) as conn:
        row = conn.execute(
            "SELECT extract(epoch FROM max(created_at))::float8 FROM papayya.item"
        ).fetchone()
    return float((row or (0,))[0])


def said(log: Path) -> float:
    """Read when the publisher was done."""
    return float(log.read_text().split()[-1])


WAYS: dict[str, type[Plain]] = {"plain": Plain, "celery": Queued, "bare": Bare}


@click.command()
@click.option("--way", "ways", multiple=True, type=click.Choice(list(WAYS)), default=list(WAYS))
@click.option("--burst", default=10_000, show_default=True, type=click.IntRange(1))
@click.option("--requests", default=1200, show_default=True, help="The limit, per minute.")
@click.option("--tokens", default=120_000, show_default=True, help="The limit, per minute.")
@click.option("--write", is_flag=True, help=f"Write the table into {DOCUMENT}.")
def main(ways: tuple[str, ...], burst: int, requests: int, tokens: int, *, write: bool) -> None:
    """Measure what a noisy neighbour costs the others."""
    console, lines, limits = Console(width=140), [], Line(requests, tokens)
    with TemporaryDirectory() as folder, console.status("starting") as status:
        redis = RedisServer(Path(folder))
        redis.start()
        try:
            for name in ways:
                way = WAYS[name](Server(), redis)
                alone = once(way, 0, limits, status.update)
                beside = once(way, burst, limits, status.update)
                lines.append(_line(way, alone, beside, limits))
                console.print(lines[-1])
        finally:
            redis.kill()
    table = Table(*HEAD, box=box.SIMPLE)
    for line in lines:
        table.add_row(*line)
    console.print(table)
    if write:
        _write(lines, limits)


def _line(way: Plain, alone: Seen, beside: Seen, line: Line) -> list[str]:
    answers = len(beside.answered())
    return [
        way.name,
        f"{alone.p95():.1f}",
        f"{beside.p95():.1f}",
        f"{beside.p95() / alone.p95():.2f}",
        f"{beside.jain():.3f}",
        f"{beside.used(line):.1%}",
        f"{beside.refused():,}",
        f"{len(beside.entries) / answers:.2f}",
    ]


def _write(lines: list[list[str]], line: Line) -> None:
    rows = [HEAD, ["---", *["---:"] * (len(HEAD) - 1)], *lines]
    said = f"The limit: {line.requests:,} requests and {line.tokens:,} tokens a minute."
    body = [BEGIN, *("| " + " | ".join(row) + " |" for row in rows), "", said, END]
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    DOCUMENT.write_text(before + "\n".join(body) + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
