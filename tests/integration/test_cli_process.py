"""The real `papayya` process: exit codes, signals, pipes, and plugins that are installed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from papayya_core.cli.main import COMMANDS, cli
from tests.integration.cli_world import World, change, papayya, world

PAPAYYA = str(Path(sys.executable).with_name("papayya"))
NAMES = [name for section in COMMANDS.values() for name in section]
PATIENCE = 30.0
PLUGIN = """
import click
from papayya_core.hookspecs import hookimpl

@hookimpl
def register_commands(group):
    @group.command("greet")
    def greet():
        "Say hello."
        click.echo("hello")

    @group.command("runs")
    def runs():
        click.echo("not ours")
"""


@pytest.fixture
def filled(papayya_database: str) -> Iterator[World]:
    """A run with one item whose output does not fit into a pipe."""
    with world(papayya_database) as made:
        run = made.run("r")
        made.carry(run, "big", lambda value: "x" * 1_000_000)
        made.store.seal_run(run.id)
        yield made


def execute(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command, and wait for its end."""
    return subprocess.run(
        [PAPAYYA, *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for a condition, up to a deadline."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def test_help_is_a_page() -> None:
    """The help has every command in its section, examples, and where the database comes from."""
    page = execute("--help").stdout
    for part in ("Look:", "Act:", "Operate:", "Examples:", "Where the database comes from:"):
        assert part in page
    for name in NAMES:
        assert f"\n  {name} " in page
    assert max(map(len, page.splitlines())) <= 80


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help(name: str) -> None:
    """Each command says what it does; those that print documents have --json."""
    shown = (
        papayya(name, "--help").stdout
        if name != "fake-provider"
        else execute(name, "--help").stdout
    )
    assert "sage: " in shown
    assert len(shown.splitlines()) > 5
    without = {"fake-provider", "limit"}  # the one is a server, the other has commands of its own
    assert "--json" in shown or name in without


def test_help_imports_no_command() -> None:
    """The help is quick: neither Postgres nor rich is imported for it."""
    code = (
        "import sys; from papayya_core.cli.main import cli\n"
        "print(sorted({'psycopg', 'rich', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_wrong_command_gets_a_suggestion() -> None:
    """A command that is nearly one of ours is wrong usage, with a suggestion."""
    done = execute("adit")
    assert done.returncode == 2
    assert "did you mean 'audit'?" in done.stderr


def test_an_error_is_a_line_unless_debugging(papayya_database: str) -> None:
    """An error is one line on stderr; --debug adds where it was raised."""
    done = execute("run", "nix")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "papayya: no run 'nix': there is none yet; run something first\n"
    assert "Traceback" in execute("run", "nix", "--debug").stderr


def test_the_audit_tells_by_its_exit_code(filled: World, papayya_database: str) -> None:
    """0: explained; 1: an item that somebody deleted is named; 2: wrong usage."""
    assert execute("audit", "r").returncode == 0
    change(papayya_database, "DELETE FROM papayya.item")
    done = execute("audit", "r", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["unexplained"][0]["key"] == "big"
    assert execute("audit").returncode == 2


def test_a_closed_pipe_is_quiet(filled: World) -> None:
    """A reader that goes away early ends the command without a complaint."""
    with subprocess.Popen(
        [PAPAYYA, "results", "r", "--jsonl"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""


def test_ctrl_c_is_quiet(filled: World) -> None:
    """Ctrl-C ends a command with 130, and without a traceback."""
    with subprocess.Popen(
        [PAPAYYA, "results", "r", "--jsonl"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)  # it is under way, and blocked by the full pipe
        process.send_signal(signal.SIGINT)
        assert process.stderr.read().strip() == b""
        process.stdout.close()
        assert process.wait(PATIENCE) == 130


def test_output_is_unicode_or_escaped(filled: World) -> None:
    """Where stdout is no Unicode, documents are ASCII and still read back the same."""
    filled.run("größe")
    done = execute("runs", "--json", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert "größe" in [run["run"] for run in json.loads(done.stdout)["runs"]]
    assert execute("runs", PYTHONIOENCODING="ascii", PYTHONUTF8="0").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_pump_ends_cleanly(
    papayya_database: str, number: signal.Signals, tmp_path: Path
) -> None:
    """A pump that is told to stop ends after its turn, with 0."""
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen([PAPAYYA, "pump", "--every", "0.05"], stdout=file, stderr=file)
    try:
        eventually(lambda: "leading" in log.read_text())
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text()


def test_plugins_add_commands(tmp_path: Path, papayya_database: str) -> None:
    """A plugin's command is in the help and runs; one named like ours does not replace it."""
    info = tmp_path / "greeter-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greeter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[papayya]\ngreeter = greeter\n")
    (tmp_path / "greeter.py").write_text(PLUGIN)
    env = {"PYTHONPATH": str(tmp_path)}
    page = execute("--help", **env).stdout
    assert "From plugins:" in page
    assert "Say hello." in page
    assert execute("greet", **env).stdout == "hello\n"
    assert execute("runs", **env).stdout == "no runs yet\n"
    assert execute("greet", **env, PAPAYYA_PLUGINS="none").returncode == 2


def test_the_entry_point_is_the_group() -> None:
    """What the process runs is what these tests call."""
    assert cli.name == "papayya"
