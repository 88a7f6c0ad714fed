"""With a key, nothing of what items work on is at rest in clear text; and everything works."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.fernet import Fernet

from papayya import ItemResult, agent, hookimpl, run
from papayya_core import vault
from papayya_core.cli.main import cli
from tests.integration.plain.script import Script, Till, scripted

KEY, LATER = (Fernet.generate_key().decode() for _ in range(2))
TOKEN = "sk-proj-aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bD1fG3h"
NAMES = ["Ada Lovelace", "Grace Hopper"]
TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = 'papayya' AND table_type = 'BASE TABLE'
"""


@pytest.fixture
def script(papayya_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """A process on a fresh database, with a key."""
    monkeypatch.delenv("PAPAYYA_DATABASE_URL")
    with scripted(papayya_database) as made:
        made.start(encryption_key=KEY)
        yield made
    vault.use(None)


def look(script: Script, *args: str, key: str | None = None, redact: str | None = None) -> Result:
    """Run the command line, with a key or without."""
    env = {"PAPAYYA_ENCRYPTION_KEY": key, "PAPAYYA_REDACT": redact}
    return CliRunner().invoke(cli, ["--database-url", script.dsn, *args], env=env)


def everything(script: Script) -> str:
    """Read every row of every table as text; bytes with what they say in Latin 1."""
    tables = script.column(TABLES)
    assert "payload" in tables
    found = [script.rows(f"SELECT t.* FROM papayya.{table} t") for table in tables]
    return repr(found)


@agent
def greet(name: str) -> str:
    """Greet somebody, in a step."""
    return str(run.task("say", str.upper, name)) + f" has {TOKEN}"


def greeted() -> list[ItemResult]:
    """Greet everybody."""
    return list(greet.map(NAMES, tenant="acme"))


def test_nothing_in_clear(script: Script) -> None:
    """No table tells an input, an argument, a result or an output; the items completed."""
    found = greeted()

    assert sorted(one.output for one in found) == [f"{n.upper()} has {TOKEN}" for n in NAMES]
    stored = everything(script)
    for word in ("Ada", "ADA", "Lovelace", "LOVELACE", "Hopper", "HOPPER", TOKEN):
        assert word not in stored
    assert script.column("SELECT DISTINCT codec FROM papayya.payload") == [2]
    script.assert_explained()


def test_steps_come_back(script: Script) -> None:
    """A step that was finished is not run again, though its result is encrypted; keys rotate."""
    till, fails = Till(), True

    @agent
    def work(name: str) -> Any:
        bought = run.task("buy", till.buy, name)
        if fails:
            raise ValueError(name)
        return bought

    list(work.map(NAMES))
    name = script.run()
    script.start(encryption_key=(LATER, KEY), run_id=name)
    assert look(script, "retry", name).exit_code == 0
    script.start(encryption_key=(LATER, KEY), run_id=name)
    fails = False

    assert sorted(one.output for one in work.map(NAMES)) == NAMES
    assert sorted(till) == NAMES


def test_lost_key(script: Script) -> None:
    """Without the key, a run is not gone on with: nothing is bought again, and the error says why."""
    till, fails = Till(), True

    @agent
    def work(name: str) -> Any:
        bought = run.task("buy", till.buy, name)
        if fails:
            raise ValueError(name)
        return bought

    list(work.map(["a"], item=str))
    name = script.run()
    look(script, "retry", name)
    script.start(run_id=name)
    fails = False
    with pytest.raises(vault.Locked, match=f"run {name} .* PAPAYYA_ENCRYPTION_KEY"):
        list(work.map(["a"], item=str))

    assert till == ["a"]


def test_command_line(script: Script) -> None:
    """A page shows payloads redacted with the key, and without it what is missing."""
    greeted()
    [key, _] = script.column("SELECT shown_key FROM papayya.item_now ORDER BY id")

    shown = look(script, "item", key, key=KEY).output
    assert " has [openai key …fG3h]" in shown
    assert TOKEN not in look(script, "item", key, "--json", key=KEY).output
    without = look(script, "item", key)
    assert without.exit_code == 0
    assert "(encrypted; set PAPAYYA_ENCRYPTION_KEY to read it)" in without.output


def test_results(script: Script) -> None:
    """Results are exact; without the key they are refused to programs, and people are told."""
    greeted()
    name = script.run()

    documents = json.loads(look(script, "results", name, "--json", key=KEY).output)["results"]
    assert sorted(one["output"] for one in documents) == [f"{n.upper()} has {TOKEN}" for n in NAMES]
    without = look(script, "results", name)
    assert without.exit_code == 0
    assert without.output.count("(encrypted; set PAPAYYA_ENCRYPTION_KEY to read it)") == 2
    refused = look(script, "results", name, "--jsonl")
    assert refused.exit_code == 1
    assert "papayya: encrypted; set PAPAYYA_ENCRYPTION_KEY to read it" in refused.output


def test_doctor(script: Script) -> None:
    """The doctor tells whether encryption is on, and never shows a key."""
    for key, said in ((None, "off; PAPAYYA_ENCRYPTION_KEY"), (KEY, "on; the first key encrypts")):
        shown = look(script, "doctor", key=key).output
        assert said in shown
        assert KEY not in shown
    assert "hunter2" not in look(script, "doctor", key="hunter2").output


def test_errors(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    """What fails with a secret in its message leaves it in no table, page or log line."""

    @agent
    def fail(name: str) -> None:
        run.task("ask", {}.__getitem__, f"{name} {TOKEN}")

    class Broken:
        @hookimpl
        def check(self, context: object) -> None:
            raise ValueError(TOKEN)

        @hookimpl
        def on_transition(self, transition: object) -> None:
            raise ValueError(TOKEN)

    script.start([Broken()], encryption_key=KEY)
    with caplog.at_level(logging.DEBUG):
        list(fail.map(["x"]))
        greeted()

    assert TOKEN not in everything(script)
    assert "[openai key …fG3h]" in everything(script)
    assert "failed in on_transition" in caplog.text
    assert TOKEN not in caplog.text
    for args in (["items"], ["runs"], *(["run", name] for name in script.column(RUNS))):
        assert TOKEN not in look(script, *args, key=KEY).output


RUNS = "SELECT name FROM papayya.run"


def test_more_is_hidden_by_setting(script: Script) -> None:
    """E-mail addresses are shown, unless PAPAYYA_REDACT names them."""

    @agent
    def reply(address: str) -> str:
        return f"to {address}"

    list(reply.map(["ada@example.com"], item=str))
    assert look(script, "items", key=KEY).exit_code == 0
    for redact, said in ((None, "to ada@example.com"), ("secrets,email", "to [email]")):
        assert said in look(script, "item", "ada@example.com", key=KEY, redact=redact).output
