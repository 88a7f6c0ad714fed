"""What recording a call to a model costs: ``python -m tests.benchmarks.llm_overhead [--write]``.

The same prompts to the stand-in, in turn: bare, with two INSERTs, outside items, in an item, and
from the journal.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Any

import click
import httpx2
import openai
import psycopg
from rich import box
from rich.console import Console
from rich.table import Table

from papayya_core import migrate
from papayya_core.testing.roundtrips import Proxy
from tests.benchmarks.exchanges import (
    Again,
    Bare,
    Floor,
    Inside,
    Outside,
    Send,
    Way,
    prompts,
    stand_in,
)
from tests.benchmarks.server import Server

DOCUMENT = Path("docs/benchmarks.md")
BEGIN, END = "<!-- calls: begin -->", "<!-- calls: end -->"
MODEL = "gpt-5.4-mini"
SIZES = (1_000, 20_000)
HEAD = (
    "",
    "prompt",
    "µs per call",
    "x bare",
    "p99",
    "own CPU µs",
    "more than bare",
    "Postgres CPU",
)
_FSYNCS = "SELECT sum(fsyncs)::int FROM pg_stat_io WHERE object = 'wal' AND backend_type = %s"


@dataclass(slots=True)
class Seen:
    """One way with one size of prompt: µs of each call, and of Postgres per call and round.

    ``between``: CPU between the client's ``send`` and what that is without us.
    """

    wall: list[list[float]] = field(default_factory=list)
    between: list[list[float]] = field(default_factory=list)
    own: list[list[float]] = field(default_factory=list)
    postgres: list[float] = field(default_factory=list)

    def more(self, bare: Seen) -> float:
        """Say how much more CPU than a bare call: the median of the rounds' own differences."""
        pairs = zip(self.own, bare.own, strict=True)
        return median(median(mine) - median(theirs) for mine, theirs in pairs)

    def within(self, bare: Seen) -> float:
        """Say how much CPU is used within our own code."""
        pairs = zip(self.between, bare.between, strict=True)
        return median(median(mine) - median(theirs) for mine, theirs in pairs)

    def quickest(self) -> float:
        """Say what the calls of the quickest tenth take of CPU at most: what others do only adds."""
        return quantiles([own for each in self.own for own in each], n=10)[0]

    def times(self, bare: Seen) -> float:
        """Say how many times longer than a bare call: the median of the rounds' own ratios."""
        pairs = zip(self.wall, bare.wall, strict=True)
        return median(median(mine) / median(theirs) for mine, theirs in pairs)


class Timed(httpx2.Client):
    """Notes what happens between its ``send``, which is ours, and its own way to send."""

    outside = inside = 0

    def send(self, request: httpx2.Request, **kwargs: Any) -> httpx2.Response:
        began = time.thread_time_ns()
        try:
            return super().send(request, **kwargs)
        finally:
            self.outside = time.thread_time_ns() - began

    def _send_handling_auth(self, *args: Any, **kwargs: Any) -> httpx2.Response:
        began = time.thread_time_ns()
        try:
            return super()._send_handling_auth(*args, **kwargs)
        finally:
            self.inside = time.thread_time_ns() - began

    def between(self) -> float:
        """Return the µs of the last request; nothing was sent for one of the journal."""
        took, self.inside = self.outside - self.inside, 0
        return took / 1000


def once(
    server: Server, way: Way, send: Send, timed: Timed, texts: Sequence[str], seen: Seen
) -> None:
    """Ask with each text, and note what it took."""
    way.prepare()
    gc.collect()
    wall, own, between, served = [], [], [], server.cpu_seconds() or 0.0
    with way.asking(send) as ask:
        for text in texts:
            used, began = time.process_time_ns(), time.perf_counter_ns()
            ask(text)
            wall.append((time.perf_counter_ns() - began) / 1000)
            own.append((time.process_time_ns() - used) / 1000)
            between.append(timed.between())
    seen.postgres.append(((server.cpu_seconds() or 0.0) - served) * 1e6 / len(texts))
    seen.wall.append(wall)
    seen.own.append(own)
    seen.between.append(between)
    way.finish()


def measure(
    server: Server,
    ways: Sequence[Way],
    send: Send,
    timed: Timed,
    size: int,
    rounds: int,
    calls: int,
    tell: Callable[[str], None],
) -> dict[str, Seen]:
    """Ask in all ways in turn, round after round; the first one warms up and does not count."""
    found: dict[str, Seen] = {way.name: Seen() for way in ways}
    for n in range(rounds + 1):
        texts = prompts(size, calls)
        for way in ways:
            tell(f"{size} bytes, round {n} of {rounds}: {way.name}")
            once(server, way, send, timed, texts, found[way.name] if n else Seen())
    return found


def passing(rounds: int = 30, number: int = 300) -> float:
    """Measure what a request costs more outside items, in µs of CPU, without any network."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=b"{}"))
    found: dict[str, list[float]] = {Bare.name: [], Outside.name: []}
    with httpx2.Client(transport=transport) as client:
        request = client.build_request("POST", "https://api.openai.com/v1/chat/completions")
        for _ in range(rounds):
            for way in (Bare(), Outside()):
                way.prepare()
                used = time.thread_time_ns()
                for _ in range(number):
                    client.send(request)
                found[way.name].append((time.thread_time_ns() - used) / 1000 / number)
                way.finish()
    return min(found[Outside.name]) - min(found[Bare.name])


@contextmanager
def client_of(url: str) -> Iterator[tuple[Send, Timed]]:
    """Open a client of the stand-in."""
    timed = Timed()
    with openai.OpenAI(base_url=url, api_key="sk-x", http_client=timed) as client:

        def send(prompt: str) -> object:
            return client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": prompt}], max_tokens=100
            ).id

        yield send, timed


def in_loop(url: str) -> Send:
    """Ask on an event loop of its own, as a task does whose client is asynchronous."""

    async def ask(prompt: str) -> object:
        async with openai.AsyncOpenAI(base_url=url, api_key="sk-x") as client:
            said = await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": prompt}], max_tokens=100
            )
        return said.id

    return lambda prompt: asyncio.run(ask(prompt))


def commits(dsn: str, send: Send, calls: int) -> tuple[dict[str, int], int]:
    """Count round trips and fsyncs of an item with so many calls, by one connection."""
    with psycopg.connect(dsn, autocommit=True) as watching, Proxy(dsn) as proxy:
        before = watching.execute(_FSYNCS, ["client backend"]).fetchone()
        inside = Inside(proxy.dsn, pool_size=1, heartbeat="off")
        inside.prepare()
        with proxy.counting() as trips, inside.asking(send) as ask:
            for text in prompts(1000, calls):
                ask(text)
        inside.end()
        inside.close()  # a server process tells its statistics when it ends
        ended = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'papayya'"
        while not (watching.execute(ended).fetchone() or (False,))[0]:
            pass
        after = watching.execute(_FSYNCS, ["client backend"]).fetchone()
    return trips.counts, (after or (0,))[0] - (before or (0,))[0]


def counted(dsn: str, send: Send, calls: int = 100) -> str:
    """Say how many round trips and fsyncs a call is: what so many more of them are more."""
    (few, least), (many, most) = commits(dsn, send, 1), commits(dsn, send, calls + 1)
    more = {name: (number - few.get(name, 0)) / calls for name, number in many.items()}
    trips = ", ".join(f"{number:g} x {name}" for name, number in more.items() if number)
    return f"A call is {trips}: as many round trips, and {(most - least) / calls:.2f} fsyncs."


def run(rounds: int, calls: int, console: Console) -> tuple[list[list[str]], list[str]]:
    """Measure everything; the lines of the table, and sentences."""
    server, lines, said = Server(), [], []
    with ExitStack() as stack, console.status("starting") as status:
        url = stack.enter_context(stand_in())
        dsn = stack.enter_context(server.database("papayya_bench_calls"))
        migrate.apply(dsn)
        send, timed = stack.enter_context(client_of(url))
        facts = {name: fact for name, fact in server.facts().items() if name != "date"}
        said.append("Measured: " + " · ".join(f"{name} {fact}" for name, fact in facts.items()))
        said.append(counted(dsn, send))
        floor = stack.enter_context(closing(Floor(dsn)))
        inside = stack.enter_context(closing(Inside(dsn)))
        again = Again(inside)
        ways: list[Way] = [Bare(), floor, Outside(), inside, again]
        for size in SIZES:
            found = measure(server, ways, send, timed, size, rounds, calls, status.update)
            lines += [_line(name, size, seen, found[Bare.name]) for name, seen in found.items()]
            said.append(_verdict(found, size))
        loops = measure(
            server, [Bare(), inside, again], in_loop(url), timed, 1000, 5, 20, status.update
        )
        said.append(_loops(loops))
        said.append(f"Outside items a request costs {passing():.1f} µs of CPU more.")
    return lines, said


def _line(name: str, size: int, seen: Seen, bare: Seen) -> list[str]:
    walls = [wall for each in seen.wall for wall in each]
    return [
        name,
        f"{size // 1000} kB",
        f"{median(walls):,.0f}",
        f"{seen.times(bare):.2f}",
        f"{quantiles(walls, n=100)[98]:,.0f}",
        f"{median(own for each in seen.own for own in each):,.0f}",
        f"{seen.more(bare):,.0f}",
        f"{fmean(seen.postgres):,.0f}",
    ]


def _verdict(found: Mapping[str, Seen], size: int) -> str:
    """Compare with the target: 1 ms of CPU of our own for a call."""
    bare, floor, inside = found[Bare.name], found[Floor.name], found[Inside.name]
    own, share = inside.more(bare), inside.more(bare) / median(map(median, bare.own))
    least = [seen.quickest() - bare.quickest() for seen in (inside, floor)]
    return (
        f"{size // 1000} kB: a call costs {own:,.0f} µs of CPU of our own (target: under 1,000:"
        f" {'kept' if own < 1000 else '**missed**'}), {share:.2f} x what the client itself uses;"
        f" {inside.within(bare):,.0f} within our own code; {least[0]:,.0f} for the quickest tenth of"
        f" calls. Two INSERTs would cost {floor.more(bare):,.0f}, at their quickest {least[1]:,.0f}."
    )


def _loops(found: Mapping[str, Seen]) -> str:
    bare, inside = found[Bare.name], found[Inside.name]
    return (
        "On an event loop that a task runs for one call, with a client for it: "
        f"{inside.more(bare):,.0f} µs of CPU of our own and {fmean(inside.postgres):,.0f} µs of"
        " Postgres."
    )


@click.command()
@click.option("--rounds", default=25, show_default=True, type=click.IntRange(3))
@click.option("--calls", default=40, show_default=True, type=click.IntRange(10))
@click.option("--write", is_flag=True, help=f"Write the table into {DOCUMENT}.")
def main(rounds: int, calls: int, *, write: bool) -> None:
    """Measure what recording a call costs."""
    console = Console(width=120)
    lines, said = run(rounds, calls, console)
    table = Table(*HEAD, box=box.SIMPLE)
    for line in lines:
        table.add_row(*line)
    console.print(table)
    for each in said:
        console.print(each, highlight=False)
    if write:
        _write(lines, said)


def _write(lines: list[list[str]], said: list[str]) -> None:
    rule = ["---", *["---:"] * (len(HEAD) - 1)]
    rows = ["| " + " | ".join(line) + " |" for line in (HEAD, rule, *lines)]
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    body = "\n".join([BEGIN, *rows, "", *(f"- {each}" for each in said), END])
    DOCUMENT.write_text(before + body + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
