"""The commands that operate: doctor, migrate, pump and plugins."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import psycopg
import pytest

from papayya_core import owner
from tests.integration.cli_world import World, change, papayya, papayya_json, world

SHIFT = """
    CREATE OR REPLACE FUNCTION papayya.now() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE AS $$ SELECT clock_timestamp() + interval '1 day' $$
"""
NOWHERE = "postgresql://someone:secret@127.0.0.1:1/x"


@pytest.fixture
def filled(papayya_database: str) -> Iterator[World]:
    """A database with nothing in it yet, and the means to fill it."""
    with world(papayya_database) as made:
        yield made


def levels(document: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["level"] for check in document["checks"]}


def text(document: dict[str, Any], name: str) -> str:
    return " ".join(str(c["text"]) for c in document["checks"] if c["name"] == name)


def test_migrate_step_by_step(papayya_empty_database: str) -> None:
    """Status, verify and SQL change nothing; migrate applies once."""
    of = "--database-url", papayya_empty_database
    assert "not initialised" in papayya(*of, "migrate", "--status").stdout
    assert "papayya migrate" in papayya(*of, "migrate", "--verify", code=1).stderr
    assert "CREATE SCHEMA papayya" in papayya(*of, "migrate", "--sql").stdout
    assert "not initialised" in papayya(*of, "runs", code=1).stderr
    applied = papayya_json(*of, "migrate")["applied"]
    assert applied[0] == "0001_nouns"
    assert papayya_json(*of, "migrate")["applied"] == []
    assert papayya_json(*of, "migrate", "--verify")["up_to_date"] is True
    assert papayya_json(*of, "migrate", "--sql") == {"sql": ""}


def test_printed_sql_migrates(papayya_empty_database: str) -> None:
    """What --sql prints brings the database up to date, in any tool."""
    of = "--database-url", papayya_empty_database
    change(papayya_empty_database, papayya(*of, "migrate", "--sql").stdout)
    assert papayya_json(*of, "migrate", "--status")["up_to_date"] is True


def test_doctor_finds_nothing(papayya_database: str) -> None:
    """With a migrated database all is well, and no line is bad."""
    document = papayya_json("doctor")
    assert document["ok"] is True
    assert "bad" not in levels(document).values()
    assert {"python", "settings", "database", "schema", "clock", "plugins"} <= levels(
        document
    ).keys()
    assert papayya("doctor").exit_code == 0


def test_doctor_names_the_schema(papayya_empty_database: str) -> None:
    """A database without the schema is bad, with the command that helps."""
    of = "--database-url", papayya_empty_database
    assert levels(papayya_json(*of, "doctor", code=1))["schema"] == "bad"
    assert "→ papayya migrate" in papayya(*of, "doctor", code=1).stdout


def test_doctor_sees_a_shifted_clock(papayya_database: str) -> None:
    """A replaced papayya.now() is noted."""
    change(papayya_database, SHIFT)
    document = papayya_json("doctor")
    assert levels(document)["clock"] == "warn"
    assert "+86,400 s" in text(document, "clock")


def dead_owner() -> str:
    """Name a process of this machine that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        return owner.owner_of(process.pid)


def test_doctor_and_pump_see_the_dead(filled: World, papayya_database: str) -> None:
    """An item whose process died is noted by the doctor, and put back by the pump."""
    filled.open(filled.run("r"), "held")
    change(papayya_database, "UPDATE papayya.dispatch SET locked_by = %s", dead_owner())
    assert "whose process is dead" in papayya("doctor").stdout
    turn = papayya_json("pump", "--once")
    assert [(one["key"], one["state"]) for one in turn["swept"]] == [("held", "queued")]
    assert "no item is being worked on" in papayya("doctor").stdout


def test_doctor_sees_a_leader_that_is_gone(papayya_database: str) -> None:
    """A pump that leads is named; once its process has ended the doctor says that, too."""
    lead = "SELECT papayya.lead_v1('pump', %s, 600)"
    change(papayya_database, lead, owner.owner())
    assert text(papayya_json("doctor"), "pump") == f"led by {owner.owner()}"
    change(papayya_database, "DELETE FROM papayya.leader")
    gone = dead_owner()
    change(papayya_database, lead, gone)
    said = text(papayya_json("doctor"), "pump")
    assert said.startswith(f"led by {gone}, whose process is gone; the next pump takes over")


def test_doctor_names_the_list_prices(
    papayya_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version of the list prices is named; without them that is noted, with what to do."""
    assert text(papayya_json("doctor"), "prices").startswith("list prices of genai-prices 0.")

    def missing(name: str) -> str:
        if name == "genai-prices":
            raise metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(metadata, "version", missing)
    [check] = [one for one in papayya_json("doctor")["checks"] if one["name"] == "prices"]
    assert (check["level"], check["todo"]) == (
        "warn",
        "pip install 'papayya-core[llm]', or papayya prices set",
    )
    monkeypatch.setenv("PAPAYYA_LLM", "0")
    assert "prices" not in levels(papayya_json("doctor"))


def test_plugins_are_listed(papayya_database: str) -> None:
    """Our own defaults are listed with their hooks."""
    [defaults] = [p for p in papayya_json("plugins")["plugins"] if p["name"] == "defaults"]
    assert defaults["on"] is True
    assert "check" in defaults["hooks"]


def test_an_embedded_database_is_never_made_by_looking(
    papayya_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a database, looking says what to do and makes none; the doctor notes it."""
    monkeypatch.delenv("PAPAYYA_DATABASE_URL", raising=False)
    for command in (["runs"], ["pump", "--once"], ["migrate", "--status"]):
        assert f"no database yet at {papayya_home}" in papayya(*command, code=1).stderr
    assert levels(papayya_json("doctor"))["embedded"] == "warn"
    assert list(papayya_home.iterdir()) == []


@pytest.mark.parametrize("command", [["runs"], ["audit", "x"], ["migrate"], ["pump", "--once"]])
def test_an_unreachable_database_is_one_line(command: list[str]) -> None:
    """A database that does not answer is told in one line, without its password; exit 1."""
    result = papayya("--database-url", NOWHERE, *command, code=1)
    assert result.stderr.startswith("papayya: ")
    assert result.stderr.count("\n") == 1
    assert "papayya doctor" in result.stderr
    assert "secret" not in result.stderr


def test_doctor_works_when_nothing_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no database and a wrong setting, each is a bad line with what to do."""
    document = papayya_json("--database-url", NOWHERE, "doctor", code=1)
    assert levels(document)["database"] == "bad"
    assert "secret" not in str(document)
    monkeypatch.setenv("PAPAYYA_MODE", "sometimes")
    monkeypatch.setenv("PAPAYYA_DATABSE_URL", "x")
    document = papayya_json("doctor", code=1)
    assert "PAPAYYA_MODE is 'sometimes'" in text(document, "settings")
    assert levels(document)["plugins"] == "ok"


def test_an_odd_variable_is_noted_once(
    papayya_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PAPAYYA_ variable that is no setting is noted on stderr; stdout stays a document."""
    monkeypatch.setenv("PAPAYYA_MODUS", "x")
    result = papayya("runs", "--json")
    assert result.stderr == "papayya: PAPAYYA_MODUS is not a setting; did you mean PAPAYYA_MODE?\n"


def test_options_may_come_last(papayya_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The global options are taken after the command too."""
    monkeypatch.delenv("PAPAYYA_DATABASE_URL")
    assert papayya_json("runs", "--database-url", papayya_database)["runs"] == []
    assert "PAPAYYA_DATABASE_URL" not in os.environ


def test_the_connection_is_given_back(papayya_database: str) -> None:
    """A command leaves no connection behind."""
    papayya("runs")
    with psycopg.connect(papayya_database) as connection:
        left = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'papayya cli' AND datname = current_database()"
        ).fetchone()
    assert left == (0,)
