"""`papayya watch`: what it shows of a run, and when it ends."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from rich.console import Console

from papayya_core.cli import watchpage
from papayya_core.cli.watchpage import Pace, Paces
from papayya_core.store import watching
from papayya_core.store.watching import Look
from tests.integration.cli_world import World, broken, change, paid, papayya, world

PATIENCE = 60.0  # seconds


@pytest.fixture
def filled(papayya_database: str) -> Iterator[World]:
    """A run with an item done, one failed, one at work, one queued and one of a tenant that waits."""
    with world(papayya_database) as made:
        run = made.run("r", budget_nusd=1_000_000_000)
        made.carry(run, "done", paid)
        made.carry(run, "bad", broken)
        made.open(run, "busy")
        made.submit(run, "open")
        made.submit(run, "slow", tenant="globex")
        yield made


def document(*options: str) -> Any:
    """Read the last document that watch prints."""
    return json.loads(papayya("watch", "r", "--json", *options).stdout.splitlines()[-1])


def see(dsn: str) -> Look:
    """Look at the run r."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        [run] = connection.execute("SELECT id FROM papayya.run WHERE name = 'r'").fetchone() or []
        return watching.look(connection, run, watching.look_slowly(connection, run, "r", 3.5))


def throttle(dsn: str, *, served: bool) -> None:
    """Let the item slow wait for a limit for two minutes, while others are let in or nobody is."""
    change(dsn, "SELECT papayya.set_limit_v1(provider => 'p', tokens => 1000)")
    change(
        dsn,
        "UPDATE papayya.item SET state = 'waiting', rate_id = (SELECT id FROM papayya.rate),"
        " due_at = papayya.now(), throttled_at = papayya.now() - interval '2 minutes' WHERE key = 'slow'",
    )
    if served:
        change(dsn, "UPDATE papayya.rate SET served_at = papayya.now()")


def test_a_line(filled: World) -> None:
    """Where stdout is no terminal, a line says how far the run is, and its money."""
    line = papayya("watch", "r", "--once").stdout
    assert (
        "r: 2 of 5 ended: 1 ok, 1 failed, 1 running, 2 queued; $0.1000 spent, $0.0000 held" in line
    )
    assert "budget of this run: $0.9000 left of $1.0000" in line
    assert line.count("\n") == 1


def test_a_document(filled: World, papayya_database: str) -> None:
    """The document has counts, exact money, budgets, tenants and findings."""
    throttle(papayya_database, served=True)
    found = document("--once")
    counts, money = found["counts"], found["money"]
    assert (counts["items"], counts["ended"], counts["waiting"]) == (5, 2, 1)
    assert (money["cost_usd"], found["over"]) == ("0.1", None)
    [budget] = found["budgets"]
    assert (budget["unit"], budget["left"]) == ("usd", 900_000_000)
    tenants = {one["tenant"]: one for one in found["tenants"]}
    assert (tenants["globex"]["throttled"], tenants["globex"]["starved"]) == (1, True)
    assert [one["check"] for one in found["findings"]] == ["exception"]


def test_throttled_is_not_starved(filled: World, papayya_database: str) -> None:
    """Who waits for a limit that lets nobody in is not starved."""
    throttle(papayya_database, served=False)
    assert [(one.throttled, one.starved) for one in see(papayya_database).tenants] == [
        (0, False),
        (1, False),
    ]


def test_a_page(filled: World, papayya_database: str) -> None:
    """The page of a terminal has a bar of states, money, tenants and the newest findings."""
    throttle(papayya_database, served=True)
    out = Console(width=120, force_terminal=True, record=True, file=io.StringIO())
    out.print(watchpage.page(see(papayya_database), Pace(10**9, 60.0, 7500.0), out))
    shown = out.export_text()
    assert "█" * 20 + "█" * 20 + "▓" * 20 + "▒" * 20 + "░" * 20 in shown
    assert "$1.0000 and 60 items a minute, about 2 h 05 min to go" in shown
    assert "starved 2 min" in shown
    assert "Newest findings" in shown
    assert "ValueError: cannot read" in shown


def test_pace(filled: World, papayya_database: str) -> None:
    """The pace is what came about in the last minute; it is not known at once."""
    paces, before = Paces(), see(papayya_database)
    assert paces.at(0, before) == Pace()
    filled.carry(filled.run("r"), "open", paid)
    after = see(papayya_database)
    assert paces.at(30, after) == Pace(200_000_000, 2.0, 60.0)
    assert paces.at(89, after) == Pace(0, 0.0, None)


def test_completed(filled: World) -> None:
    """It ends when the run is completed, and says what needs a look."""
    for key in ("busy", "open"):
        filled.submit(filled.run("r"), key)
    papayya("kill", "r", "--tenant", "globex")
    filled.carry(filled.run("r"), "open", paid)
    papayya("kill", "r", "--item", "busy")
    filled.store.seal_run(filled.run("r").id)
    shown = papayya("watch", "r", "--every", "0.1").stdout
    assert "the run is completed" in shown
    assert "Queue what failed again: papayya retry r" in shown
    assert document()["over"] == "completed"


def test_parked(filled: World) -> None:
    """It ends when nothing goes on by itself any more, and says how to go on."""
    papayya("kill", "r", "--item", "busy")
    papayya("pause", "r")
    shown = papayya("watch", "r", "--every", "0.1").stdout
    assert "all that is left is parked" in shown
    assert "papayya resume r" in shown


def test_a_paused_tenant_is_parked(filled: World) -> None:
    """What is queued for a tenant that is paused does not count as going on."""
    papayya("kill", "r", "--item", "busy")
    papayya("kill", "r", "--item", "open")
    papayya("pause", "--tenant", "globex")
    assert document("--every", "0.1")["over"] == "parked"


def test_a_cancelled_run(filled: World) -> None:
    """It ends when the run was killed."""
    papayya("kill", "r")
    assert "the run was cancelled" in papayya("watch", "r", "--every", "0.1").stdout


def test_unknown_run(filled: World) -> None:
    """A run that does not exist is an error that names near ones."""
    assert "no run 'rr'; did you mean" in papayya("watch", "rr", code=1).stderr


def test_leaving_a_terminal(filled: World, papayya_database: str) -> None:
    """On a terminal it draws a page; Ctrl-C leaves, and the run goes on."""
    ours, theirs = pty.openpty()
    env = dict(os.environ) | {
        "PAPAYYA_DATABASE_URL": papayya_database,
        "TERM": "xterm",
        "COLUMNS": "120",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "papayya_core", "watch", "r", "--every", "0.1"],
        env=env, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    guard = threading.Timer(PATIENCE, process.kill)
    guard.start()
    shown = b""
    try:
        while b"Newest findings" not in shown:
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        while b"comes back" not in shown:
            shown += os.read(ours, 4096)
        assert process.wait(PATIENCE) == 0
    finally:
        guard.cancel()
        os.close(ours)
    assert see(papayya_database).count("running") == 1
