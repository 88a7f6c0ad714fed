"""What is spooled comes to Postgres once, in order, and what Postgres refuses is put aside."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from papayya import agent, run
from papayya_core import owner, spool_files, spool_replay
from papayya_core.cli.main import cli
from papayya_core.runtime import runtime
from papayya_core.spool import Spool
from tests.integration.llm import shapes
from tests.integration.llm.shapes import ASK
from tests.integration.llm.world import World

NOBODY = "host=127.0.0.1 port=1 dbname=nothing connect_timeout=2"
BOOKS = """
SELECT (SELECT sum(cost_nusd)::bigint FROM papayya.call), (SELECT sum(cost_nusd)::bigint FROM papayya.spend),
       (SELECT sum(cost_nusd)::bigint FROM papayya.item)
"""


@pytest.fixture
def home(world: World, tmp_path: Path) -> Path:
    """Start a process whose spool is not replayed by itself."""
    world.script.start(home=tmp_path, away="continue", db_patience=1)
    return tmp_path


def away(fn: Callable[[], Any]) -> Callable[[], Any]:
    """Do something as if Postgres were away, then bring what was spooled to it."""

    def done() -> Any:
        spool = runtime().spool
        spool.on_first, spool.is_away = None, True
        try:
            return fn()
        finally:
            shutil.copytree(spool_files.directory(spool.home), spool.home / "copy")
            spool.is_away = False
            replay(spool)

    return done


def replay(spool: Spool) -> None:
    """Bring all that waits to Postgres."""
    with spool_replay.connected(runtime().dsn) as connection:
        while (entry := spool.peek()) is not None:
            spool_replay.replay(connection, entry)
            spool.done(entry.n)


def ask(world: World, text: str = "one?") -> str:
    """Ask one question."""
    body = ASK | {"messages": [{"role": "user", "content": text}]}
    with shapes.gpt(world.url) as client:
        return client.chat.completions.create(**body).choices[0].message.content or ""


def spooled(home: Path) -> list[str]:
    """Name what waits."""
    return [entry.name for _, found in spool_files.listing(home) for entry in found.entries]


def papayya(*arguments: str) -> tuple[int, Any]:
    """Run a command that prints JSON."""
    settings = runtime().settings
    options = ["--database-url", str(settings.database_url), "--home", str(settings.home)]
    result = CliRunner().invoke(cli, [*options, *arguments, "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_replayed_twice(world: World, home: Path) -> None:
    """What is replayed a second time, and a third, changes nothing."""

    def body() -> None:
        run.task("ask", ask, world)
        run.tool("search")(lambda: run.cost(usd="0.01"))()

    world.once(away(body))
    before = world.script.rows("SELECT * FROM papayya.call ORDER BY id"), world.script.one(BOOKS)
    assert world.calls() == ["answered", "answered"]
    for _ in range(2):
        for each in (home / "copy").iterdir():
            shutil.copy(each, spool_files.directory(home))
        assert spool_replay.adopt(home, runtime().dsn) == (5, 0, 0)
    after = world.script.rows("SELECT * FROM papayya.call ORDER BY id"), world.script.one(BOOKS)
    assert after == before
    assert spool_files.found(home) == []


def test_in_the_books(world: World, home: Path) -> None:
    """Calls that were sent without Postgres are in every sum, as those that were held before."""
    before = len(world.stand_in.entries())
    world.once(away(lambda: ask(world)))
    world.once(lambda: ask(world))
    paid = sum(entry.cost_nusd for entry in world.stand_in.entries()[before:])
    assert world.calls() == ["answered", "answered"]
    assert world.script.one(BOOKS) == (paid, paid, paid)


def test_the_journal_answers(world: World, home: Path) -> None:
    """An item that runs again is given the answers that came to Postgres by the spool."""
    times: list[int] = []

    def call() -> str:
        times.append(1)
        return str(away(lambda: ask(world))() if len(times) == 1 else ask(world))

    found = world.twice(call)
    assert found.requests == [1, 0]
    assert found.answers[0] == found.answers[1]


def test_an_item_that_ran_before_waits(world: World, home: Path) -> None:
    """Where the journal may have the answer nothing is bought without it, by either policy."""
    asked: list[int] = []

    def call() -> str:
        if asked:
            runtime().spool.is_away = True  # a hold that may not be spooled asks Postgres
        asked.append(1)
        return ask(world)

    found = world.twice(call)
    assert found.requests == [1, 0]


@pytest.mark.parametrize("away_", ["stop", None])
def test_a_budget_stops(world: World, tmp_path: Path, away_: str | None) -> None:
    """Where a budget applies nothing is spooled before it is sent; its end is."""
    world.script.start(home=tmp_path, away=away_)
    names: list[str] = []

    @agent(name="capped", budget_usd=5)
    def capped(item: int) -> str:
        def both() -> str:
            answer = ask(world)
            names.extend(spooled(tmp_path))
            return answer

        return str(away(both)())

    capped(1)
    assert names == ["settle"]


def test_refused(world: World, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What Postgres refuses is put aside and shown, and what comes after it is not held up."""
    world.once(away(lambda: ask(world)))
    [copy] = (home / "copy").iterdir()
    hold, settle = spool_files.read(copy).entries[:2]
    name = spool_files.new_name(runtime().spool.database, owner.owner())
    fd = spool_files.create(home, name)
    bad = {"item": 0, "params": {**settle.params, "item": 0}, "n": 1}
    spool_files.write(fd, spool_files.document_of(settle) | bad)
    spool_files.write(fd, spool_files.document_of(hold) | {"n": 2})
    os.close(fd)

    assert spool_replay.adopt(home, runtime().dsn) == (1, 1, 0)
    assert "papayya spool replay --refused" in caplog.text
    assert spool_replay.adopt(home, runtime().dsn) == (0, 0, 0)
    code, said = papayya("spool")
    assert (code, [one["refused"] for one in said["files"]]) == (0, [True])
    assert papayya("doctor")[0] == 1
    assert papayya("spool", "replay", "--refused") == (
        1,
        {"replayed": 0, "refused": 1, "waiting": 0},
    )
    assert spooled(home) == ["settle"]


def test_a_newer_version(world: World, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What only a newer version of Papayya can replay is put aside, and keeps nobody from working."""
    name = spool_files.new_name(runtime().spool.database, owner.owner())
    fd = spool_files.create(home, name)
    spool_files.write(fd, {"n": 1, "name": "settle_v9", "item": 1, "params": {}, "at": 1.0})
    os.close(fd)
    assert spool_replay.adopt(home, runtime().dsn) == (0, 1, 0)
    assert "no statement settle_v9" in caplog.text
    assert spooled(home) == ["settle_v9"]


def test_damaged_and_away(world: World, home: Path) -> None:
    """A damaged line is kept once, however often Postgres was still away when it was found."""
    world.once(away(lambda: ask(world)))
    [copy] = (home / "copy").iterdir()
    folder = spool_files.directory(home)
    damaged = folder / spool_files.new_name(spool_files.database_of(NOBODY), owner.owner())
    damaged.write_bytes(b"what is this\n" + copy.read_bytes())
    for _ in range(3):
        assert spool_replay.adopt(home, NOBODY) == (0, 0, 1)
    assert spool_replay.adopt(home, runtime().dsn, moved=True).replayed > 0
    [kept] = folder.iterdir()
    assert (kept.suffix, kept.read_bytes()) == (".damaged", b"what is this\n")


def test_another_database(world: World, home: Path) -> None:
    """What was spooled for another database is left alone, unless it is said to have moved."""
    world.once(away(lambda: ask(world)))
    [copy] = (home / "copy").iterdir()
    folder = spool_files.directory(home)
    shutil.copy(copy, folder / f"0123456789ab~{copy.name.partition('~')[2]}")
    assert spool_replay.adopt(home, runtime().dsn) == (0, 0, 0)
    assert papayya("spool", "replay") == (0, {"replayed": 0, "refused": 0, "waiting": 0})
    assert spool_replay.adopt(home, runtime().dsn, moved=True).replayed > 0
    assert spool_files.found(home) == []


def test_the_pump_adopts(world: World, home: Path) -> None:
    """A turn of any pump of this home brings what a dead process has left."""
    world.once(away(lambda: ask(world)))
    for each in (home / "copy").iterdir():
        shutil.copy(each, spool_files.directory(home))
    code, _ = papayya("pump", "--once")
    assert (code, spool_files.found(home)) == (0, [])


def test_full_disk(world: World, home: Path) -> None:
    """Where nothing can be spooled calls wait for Postgres, and are recorded as ever."""
    spool_files.directory(home).write_text("this is no directory")
    runtime().spool.is_away = True
    world.once(lambda: ask(world))
    assert world.calls() == ["answered"]
    assert world.findings() == []


def fill(home: Path) -> None:
    """Bring what was spooled to Postgres, then leave no place for more."""
    replay(runtime().spool)
    shutil.rmtree(spool_files.directory(home))
    spool_files.directory(home).write_text("this is no directory")


def test_full_after_the_hold_of_a_call(world: World, home: Path) -> None:
    """A call whose end has no place in the spool says so, and its caller has the answer."""
    runtime().spool.on_first, runtime().spool.is_away = None, True

    def read() -> list[object]:
        with shapes.gpt(world.url) as client:
            chunks = client.chat.completions.create(**ASK, stream=True)
            first = next(chunks)
            fill(home)
            return [first, *chunks]

    assert len(world.once(read)) > 1
    assert world.calls() == ["pending"]
    assert [check for check, _ in world.findings()] == ["call_unrecorded"]


def test_full_after_the_hold_of_a_step(world: World, home: Path) -> None:
    """A step whose end has no place in the spool says so; its checkpoint books what it cost."""

    def pay() -> None:
        run.cost(usd="0.10")
        fill(home)

    @agent(name="capped", budget_usd=5)
    def capped(item: int) -> None:
        runtime().spool.on_first, runtime().spool.is_away = None, True
        run.task("pay", pay, max_cost="0.50")

    capped(1)
    assert world.calls() == ["pending"]
    assert [check for check, _ in world.findings()] == ["call_unrecorded"]
    assert world.script.one("SELECT cost_nusd FROM papayya.item") == 100_000_000
