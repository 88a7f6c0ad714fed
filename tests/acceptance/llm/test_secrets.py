"""With a key, no secret of an item is found at rest, in what we log, or in what people are shown."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
from click.testing import CliRunner
from cryptography.fernet import Fernet

from papayya_core import vault
from papayya_core.cli.main import cli
from tests.acceptance.llm.planted import keys
from tests.acceptance.llm.world import HERE, World
from tests.support.program import Program

TABLES = """
    SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
    WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'
"""
LISTS = (
    *("runs", "items", "tenants", "calls", "doctor", "plugins", "prices"),
    *("budget", "keys", "limits", "spool"),
)
PAGES = ("run", "audit", "outliers", "item")
LIVE = ("watch",)  # shows what the others do, again and again
EXACT = ("results",)  # outputs as they are, for programs to go on with
ACTS = ("cancel", "drain", "fake-provider", "kill", "limit", "migrate", "pause", "pump")
GO_ON = ("reconcile", "resume", "retry")
PLACES = ("agent_version", "call", "finding", "item", "step")  # that keep texts about the work
MARK = "[openai key …"
USAGE = 2  # the exit code of a command that lacks an option
KEYS = keys()
PATIENCE_S = 300


def text_of(value: Any) -> Iterator[str]:
    """Say what a value is as text; of bytes, also what they are when they are decompressed."""
    if isinstance(value, bytes | memoryview):
        yield bytes(value).decode("latin-1")
        with suppress(zlib.error):
            yield zlib.decompress(value).decode("latin-1")
    else:
        yield value if isinstance(value, str) else json.dumps(value, default=str)


def dump(dsn: str) -> dict[str, str]:
    """Read every column of every table."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        names = [name for (name,) in connection.execute(TABLES)]
        found = {}
        for name in names:
            rows = connection.execute(f"SELECT t.*, t::text FROM {name} AS t".encode()).fetchall()
            found[name] = "\n".join(text for row in rows for one in row for text in text_of(one))
    return found


def leaks(places: dict[str, str]) -> list[str]:
    """Name every key of which a piece is found, with the place and what stands around it."""
    found = []
    for place, text in places.items():
        for key in KEYS:
            at = max(text.find(piece) for piece in key.pieces())
            if at >= 0:
                found.append(f"{place}: {key.kind}: …{text[max(at - 60, 0) : at + 60]}…")
    return found


def shown(*words: str) -> dict[str, str]:
    """Run a command, for people and for programs."""
    found = {}
    for more in ((), ("--json",)):
        done = CliRunner().invoke(cli, [*words, *more])
        if done.exit_code != USAGE:
            found[" ".join([*words, *more])] = done.output
    return found


def pages(world: World) -> dict[str, str]:
    """Show what the command line has to show."""
    found: dict[str, str] = {}
    for command in LISTS:
        found |= shown(command)
    found |= shown("calls", "--limit", "10000") | shown("items", "--limit", "10000")
    for (run,) in world.query("SELECT name FROM papayya.run"):
        for page in PAGES[:-1]:
            found |= shown(page, run)
    for (key,) in world.query("SELECT min(key) FROM papayya.item GROUP BY agent_id"):
        found |= shown("item", key)
    return found


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PAPAYYA_ENCRYPTION_KEY", Fernet.generate_key().decode())
    yield
    vault.use(None)


def live(world: World, file: Path, *words: str) -> dict[str, int]:
    """Run the careless program to its end; return how its items ended."""
    host = world.env["OPENAI_BASE_URL"].removeprefix("http://").removesuffix("/v1")
    env = {**world.env, "PAPAYYA_LLM_HOSTS": f"{host}=openai"}
    command = [sys.executable, str(HERE / "leaky.py"), str(file), *words]
    program = Program(command, world.folder, "leaky", env)
    program.start(lambda: True)
    program.until(lambda: not program.running, "it ends", PATIENCE_S)
    assert program.popen is not None
    assert program.popen.returncode == 0, program.tail()
    last = next(line for line in reversed(program.said().splitlines()) if line[:1] == "{")
    return dict(json.loads(last))


@pytest.mark.timeout(PATIENCE_S)
def test_no_key_is_found(hello: World, tmp_path: Path) -> None:
    """Keys of forty kinds, planted wherever a program can put them, are found nowhere."""
    assert len({key.kind for key in KEYS}) >= 40
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([[key.kind, key.text, key.secret] for key in KEYS]), "utf-8")
    assert live(hello, file) == {"failed": 3 * len(KEYS), "paused": 2}
    hello.papayya("retry", "leaky")
    hello.papayya("resume", "leaky")
    assert live(hello, file, "--again") == {"completed": 3 * len(KEYS) + 2}

    places = dump(hello.dsn) | pages(hello)
    places["log"] = (tmp_path / "leaky.log").read_text("utf-8", "replace")
    log = Path(str(hello.query("SHOW data_directory")[0][0])) / "server.log"
    if log.exists():
        places["Postgres's log"] = log.read_text("utf-8", "replace")
    found = leaks(places)
    assert not found, f"{len(found)} leaks:\n" + "\n".join(found[:40])
    told = [
        *(f"papayya.{name}" for name in PLACES),
        "log",
        "item key-0",
        "calls --limit 10000 --json",
    ]
    assert [place for place in told if MARK not in places[place]] == []


def test_every_command_is_looked_at() -> None:
    """Each command is one of those that show things, act, or give exact outputs."""
    assert sorted(cli.list_commands(click.Context(cli))) == sorted(
        (*LISTS, *PAGES, *LIVE, *EXACT, *ACTS, *GO_ON)
    )
