"""What Papayya costs a Celery task: ``python -m tests.benchmarks.celery_tax [--json | --write]``.

Bare Celery and Celery with Papayya in turn: tasks published one by one and in bulk, then worked off
by a prefork worker with two children. Redis, late acknowledgement and results in both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import click
from rich import box
from rich.console import Console
from rich.table import Table

from papayya_core import migrate
from tests.benchmarks.server import Server
from tests.support.celery_worker import CeleryWorker
from tests.support.processes import until
from tests.support.redis_server import RedisServer

HERE = Path(__file__).parent
DOCUMENT = Path("docs/benchmarks.md")
BEGIN, END = "<!-- celery: begin -->", "<!-- celery: end -->"
PUBLISH = """
import json, sys, time
from celery_app import nothing
import papayya_celery
count, bulk = int(sys.argv[1]), sys.argv[2] == "bulk"
nothing.delay(-1, "warm")
began, cpu = time.perf_counter(), time.process_time()
if bulk:
    papayya_celery.submit(nothing, [{"doc": n, "tenant": f"t{n % 9}"} for n in range(count)])
else:
    for n in range(count):
        nothing.delay(n, f"t{n % 9}")
print(json.dumps([time.perf_counter() - began, time.process_time() - cpu]))
"""


@dataclass(frozen=True)
class Round:
    """One subject in one round; milliseconds per task."""

    publish: float
    publish_cpu: float
    work: float
    worker_cpu: float
    server_cpu: float


def _environment(redis: RedisServer, dsn: str | None) -> dict[str, str]:
    env = {"BENCH_BROKER": redis.url(0), "BENCH_RESULTS": redis.url(1)}
    if dsn is not None:
        env |= {"BENCH_PAPAYYA": "1", "PAPAYYA_DATABASE_URL": dsn}
    return env


def measure(
    server: Server, redis: RedisServer, dsn: str | None, count: int, how: str, folder: Path
) -> Round:
    """Publish ``count`` tasks, then let a worker start and work them off."""
    redis.flushall()
    env = _environment(redis, dsn)
    command = [sys.executable, "-c", PUBLISH, str(count), how]
    path = os.pathsep.join([str(HERE), *sys.path])
    said = subprocess.run(
        command, env=os.environ | env | {"PYTHONPATH": path}, check=True, stdout=subprocess.PIPE
    )
    wall, cpu = json.loads(said.stdout)
    worker = CeleryWorker(HERE / "celery_app.py", folder, env=env)
    with redis.client(0) as client:

        def left() -> int:
            return int(client.llen("celery")) + int(client.hlen("unacked"))

        worker.start()
        until(lambda: left() < count * 0.9, "the worker has begun")
        first, began, used = left(), time.perf_counter(), _used(worker)
        before = server.cpu_seconds() or 0.0
        until(lambda: left() < count * 0.1, "the tasks are nearly done", deadline_s=120)
        done, took = first - left(), time.perf_counter() - began
        worker_cpu, server_cpu = _used(worker) - used, (server.cpu_seconds() or 0.0) - before
    worker.stop()
    each = 1000 / done
    publish = (wall * 1000 / count, cpu * 1000 / count)
    return Round(*publish, took * each, worker_cpu * each, server_cpu * each)


def _used(worker: CeleryWorker) -> float:
    """Sum the processor time of the worker and its children so far."""
    ticks = 0
    for pid in (worker.pid, *worker.children):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def _servers() -> Iterator[tuple[Server, RedisServer, str, Path]]:
    server = Server()
    with tempfile.TemporaryDirectory() as folder, server.database("papayya_bench_celery") as dsn:
        migrate.apply(dsn)
        redis = RedisServer(Path(folder))
        redis.start()
        try:
            yield server, redis, dsn, Path(folder)
        finally:
            redis.kill()


def run(rounds: int, count: int, console: Console) -> dict[str, list[Round]]:
    """Measure all subjects in turn, round after round."""
    found: dict[str, list[Round]] = {"bare": [], "Papayya, one by one": [], "Papayya, bulk": []}
    with _servers() as (server, redis, dsn, folder), console.status("starting") as status:
        for n in range(rounds):
            for name, samples in found.items():
                status.update(f"round {n + 1} of {rounds}: {name}")
                how = "bulk" if name.endswith("bulk") else "single"
                own = None if name == "bare" else dsn
                samples.append(measure(server, redis, own, count, how, folder))
    return found


def table(found: dict[str, list[Round]]) -> tuple[Sequence[str], list[list[str]]]:
    """Lay out medians, and what Papayya adds, as ratios of the same round."""
    head = ("", "publish ms", "x bare", "work ms", "x bare", "worker CPU ms", "Postgres CPU ms")
    lines = []
    for name, samples in found.items():
        pairs = list(zip(samples, found["bare"], strict=True))
        lines.append(
            [
                name,
                f"{median(s.publish for s in samples):.2f}",
                f"{median(s.publish / b.publish for s, b in pairs):.2f}",
                f"{median(s.work for s in samples):.2f}",
                f"{median(s.work / b.work for s, b in pairs):.2f}",
                f"{median(s.worker_cpu for s in samples):.2f}",
                f"{median(s.server_cpu for s in samples):.2f}",
            ]
        )
    return head, lines


def tax(found: dict[str, list[Round]]) -> str:
    """Say what a task costs more, in milliseconds of a worker with two children."""
    more = [s.work - b.work for s, b in zip(found["Papayya, bulk"], found["bare"], strict=True)]
    pairs = zip(found["Papayya, one by one"], found["bare"], strict=True)
    publish = median(s.publish - b.publish for s, b in pairs)
    return (
        f"a task costs {median(more):.2f} ms more to work off (target: at most 1 ms), and "
        f"{publish:.2f} ms more to publish by itself"
    )


@click.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--tasks", default=2000, show_default=True, type=click.IntRange(200))
@click.option("--json", "as_json", is_flag=True, help="Print every round instead of the table.")
@click.option("--write", is_flag=True, help="Write the table into docs/benchmarks.md.")
def main(rounds: int, tasks: int, as_json: bool, write: bool) -> None:
    """Measure what Papayya costs a Celery task."""
    console = Console(stderr=as_json)
    found = run(rounds, tasks, console)
    if as_json:
        click.echo(json.dumps({name: [asdict(r) for r in rs] for name, rs in found.items()}))
        return
    head, lines = table(found)
    shown = Table(*head, box=box.SIMPLE)
    for line in lines:
        shown.add_row(*line)
    console.print(shown)
    console.print(tax(found))
    if write:
        _write(head, lines, tax(found))


def _write(head: Sequence[str], lines: list[list[str]], said: str) -> None:
    rows = ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines)]
    text = DOCUMENT.read_text()
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    DOCUMENT.write_text(
        text[:start] + "\n" + "\n".join(rows) + f"\n\n{said[0].upper()}{said[1:]}.\n" + text[end:]
    )


if __name__ == "__main__":
    main()
