"""The pages of docs/ and the README do what they say: their code and commands are run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import make_conninfo

from papayya_core.cli.main import cli
from tests.unit.docs_pages import PAGES, ROOT, Command, blocks, script, todo

ELSEWHERE = "docs/celery.md"  # needs a broker and a worker
RUN = [page.relative_to(ROOT).as_posix() for page in PAGES if script(page) or todo(page)]
RUN = [name for name in RUN if name != ELSEWHERE]
PATIENCE = 100  # seconds
PUMP = ["papayya", "pump", "--once"]
RETRY = ["papayya", "retry", "granted"]
MONEY = [
    "budget set --tenant acme --usd 40 --per month",
    "budget set --tenant acme --usd 50 --per month",
    "budget remove --tenant acme",
    "limit set --tenant acme --tokens 1000",
    "limit remove --tenant acme",
    "tenants set acme --weight 2",
    "keys name openai/0123456789abcdef production",
]
WORK = """
from papayya import agent, run

@agent
def shout(word):
    run.cost("0.01")
    return run.task("upper", str.upper, word)

with run("granted", budget_usd=1):
    assert shout("hey") == "HEY"
"""


@pytest.mark.parametrize("name", RUN)
def test_page_runs(name: str, papayya_database: str, papayya_postgres: str, tmp_path: Path) -> None:
    """A page's Python runs; its files and commands, in order, print what the page shows."""
    page = ROOT / name
    env = environment(papayya_postgres)
    if text := script(page):
        (tmp_path / "page.py").write_text(text, encoding="utf-8")
        code, output = run([sys.executable, "page.py"], tmp_path, env)
        assert code == 0, output
    for block in blocks(page):
        if block.language == "python" and block.file is not None:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
        for command in todo(page, block):
            _obey(command, tmp_path, env)


def _obey(command: Command, where: Path, env: dict[str, str]) -> None:
    """Run a command as the page shows it."""
    extra, words = command.words()
    compare(command, *_start(words, where, env | extra))


def compare(command: Command, code: int, output: str) -> None:
    """Hold what a command printed against the page."""
    assert code == command.code, f"$ {command.line}\n{output}"
    printed = re.sub(r"[ \t]+", " ", output)
    for line in command.output:
        shown = re.escape(re.sub(r"[ \t]+", " ", line.strip())).replace("…", ".*")
        found = re.search(rf"^ ?{shown} ?$", printed, re.MULTILINE)
        assert found, f"$ {command.line}: {line}\n{output}"


def _start(words: list[str], where: Path, env: dict[str, str]) -> tuple[int, str]:
    """Run a program; our own command line in this process, which is quicker."""
    if words[0] == "papayya":
        done = CliRunner().invoke(cli, words[1:], env=env)
        return done.exit_code, done.output
    program = sys.executable if words[0] == "python" else Path(sys.executable).with_name(words[0])
    return run([str(program), *words[1:]], where, env)


def environment(server: str) -> dict[str, str]:
    keep = {name: value for name, value in os.environ.items() if not name.startswith("PAPAYYA_")}
    keep |= {"PAPAYYA_DATABASE_URL": os.environ["PAPAYYA_DATABASE_URL"], "COLUMNS": "200"}
    return keep | {"PAPAYYA_TEST_DATABASE_URL": server}


def run(words: list[str], where: Path, env: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        words,
        cwd=where,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode if done.returncode >= 0 else 128 - done.returncode, done.stdout


def test_granted_permissions_suffice(papayya_database: str, tmp_path: Path) -> None:
    """A role with the permissions that operations.md grants can work, look and pump."""
    [sql] = [b.text for b in blocks(ROOT / "docs/operations.md") if b.language == "sql"]
    with psycopg.connect(papayya_database, autocommit=True) as conn:
        conn.execute("CREATE ROLE papayya_worker LOGIN")
        try:
            conn.execute(sql)
            url = make_conninfo(papayya_database, user="papayya_worker")
            env = environment(url) | {"PAPAYYA_DATABASE_URL": url, "PAPAYYA_RUN_ID": "granted"}
            (tmp_path / "work.py").write_text(WORK, encoding="utf-8")
            money = [["papayya", *words.split()] for words in MONEY]
            for words in (
                ["python", "work.py"],
                ["papayya", "audit", "granted"],
                PUMP,
                RETRY,
                *money,
            ):
                code, output = _start(words, tmp_path, env)
                assert code == 0, output
        finally:
            conn.execute("DROP OWNED BY papayya_worker")
            conn.execute("DROP ROLE papayya_worker")
