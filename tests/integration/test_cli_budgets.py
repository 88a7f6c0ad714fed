"""`papayya budget` and `papayya.budget`: what they set, show and say, and that they may repeat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pytest
from click.testing import CliRunner

from papayya import Budget, InvalidBudget, budget
from papayya_core.cli.main import cli
from papayya_core.contract import Agent
from papayya_core.errors import InvalidKey
from papayya_core.store.reads import UnknownName
from papayya_core.testing.clock import Clock
from tests.integration.cli_world import (
    HOSTILE,
    World,
    change,
    paid,
    papayya,
    papayya_json,
    program,
    program_when_off,
    world,
)

SET = ("budget", "set", "--tenant", "acme", "--per", "month")
PRINT = "openai/0123456789abcdef"


@pytest.fixture
def filled(papayya_database: str) -> Iterator[World]:
    """A run with an item that cost a dime and ten tokens, and one that is queued."""
    with world(papayya_database) as made:
        run = made.run("r")
        made.carry(run, "done", paid)
        made.submit(run, "open")
        yield made


@pytest.fixture
def in_program(papayya_database: str) -> Iterator[None]:
    """This process is a program with a runtime."""
    with program(papayya_database, heartbeat="off"):
        yield


def table(*arguments: str) -> list[list[str]]:
    """Read the lines of a table."""
    return [line.split() for line in papayya(*arguments).stdout.splitlines()[1:]]


def test_none(papayya_database: str) -> None:
    """Without budgets the list says how to set one."""
    shown = papayya("budget").stdout
    assert "no budgets; papayya budget set --tenant acme --usd 40 --per month sets one" in shown
    assert papayya_json("budget") == {"budgets": [], "more": False}
    assert "give one amount: --usd or --tokens" in papayya(*SET, code=2).stderr
    assert "say whose it is: --tenant" in papayya("budget", "set", "--usd", "1", code=2).stderr


def test_set(filled: World) -> None:
    """A budget counts what was spent before it, is listed exactly, and set again without effect."""
    shown = papayya(*SET, "--usd", "$40.5").stdout
    assert shown == "$40.50 a month for tenant acme: $0.10 spent, $40.40 left\n"
    again = papayya_json(*SET, "--usd", "40.50")
    assert (again["changed"], again["next"]) == (0, [])
    assert again["said"].startswith("nothing to do: $40.50 a month for tenant acme already")
    [one] = papayya_json("budget")["budgets"]
    assert one == again["budget"]
    assert (one["amount_usd"], one["spent_nusd"], one["held_usd"], one["left_usd"]) == (
        "40.5",
        100_000_000,
        "0",
        "40.4",
    )
    [cells] = table("budget")
    assert cells[1:8] == ["tenant", "acme", "$40.50", "month", "$0.10", "$0.00", "$40.40"]
    assert cells[-2:] == ["00:00", "UTC"]


def test_change(filled: World) -> None:
    """A change says what it was before; below what is spent it is an overdraft, and no error."""
    papayya(*SET, "--usd", "40")
    shown = papayya(*SET, "--usd", "0.04").stdout
    assert "$0.04 a month for tenant acme from now on, $40.00 before: $0.10 spent" in shown
    assert "over by $0.06" in shown
    [one] = papayya_json("budget")["budgets"]
    assert (one["left_usd"], one["overdraft_usd"]) == ("-0.06", "0.06")
    assert "over by $0.06" in papayya("budget").stdout


def test_of_whom(filled: World) -> None:
    """Budgets of runs, agents, keys and all of them are told apart, and narrowed by each."""
    papayya("budget", "set", "--run", "r", "--agent", "tag", "--tokens", "25")
    papayya("budget", "set", "--key", PRINT, "--usd", "1", "--per", "day")
    papayya("budget", "set", "--tenant", "acme", "--key", PRINT, "--usd", "2")
    [run] = papayya_json("budget", "--run", "r")["budgets"]
    assert (run["unit"], run["amount_tokens"], run["left_tokens"]) == ("tokens", 25, 15)
    assert "amount_usd" not in run
    assert len(papayya_json("budget", "--key", PRINT)["budgets"]) == 2
    [one] = papayya_json("budget", "--key", PRINT, "--tenant", "acme")["budgets"]
    assert (one["key"], one["per"], one["renews_at"]) == (PRINT, "ever", None)
    assert "run r, agent tag" in papayya("budget").stdout
    assert (
        "no budgets of agent tag, key" in papayya("budget", "--agent", "tag", "--key", PRINT).stdout
    )


def test_unknown_names(filled: World) -> None:
    """A run or key that is not there is an error with a near name; a tenant is made, and said so."""
    usd = ("--usd", "1")
    assert (
        "no run 'rr'; did you mean 'r'?"
        in papayya("budget", "set", "--run", "rr", *usd, code=1).stderr
    )
    said = papayya("budget", "set", "--key", "mine", *usd, code=1).stderr
    assert "no key 'mine'" in said
    assert "papayya keys print" in said
    shown = papayya("budget", "set", "--tenant", "acmee", *usd).stdout
    assert "Tenant acmee is new: no item of it was seen yet; did you mean 'acme'?" in shown
    assert "no tenant 'nobody'" in papayya("budget", "--tenant", "nobody", code=1).stderr


def test_time_zones(filled: World) -> None:
    """A day begins where the time zone says, which a later change keeps; one for ever has none."""
    day = ("budget", "set", "--tenant", "acme", "--per", "day")
    papayya(*day, "--usd", "1", "--timezone", "Asia/Tokyo")
    papayya(*day, "--usd", "2")
    [one] = papayya_json("budget")["budgets"]
    assert (one["timezone"], one["since"][11:16]) == ("Asia/Tokyo", "15:00")
    assert "00:00 Asia/Tokyo" in papayya("budget").stdout
    wrong = papayya(*day, "--usd", "1", "--timezone", "Europe/Bielefeld", code=1).stderr
    assert "no time zone Europe/Bielefeld" in wrong
    assert "pg_timezone_names" in wrong
    ever = ("budget", "set", "--tenant", "acme", "--usd", "1", "--timezone", "UTC")
    assert "say per" in papayya(*ever, code=1).stderr


def test_another_time_zone(papayya_database: str, papayya_clock: Clock) -> None:
    """A budget whose days begin elsewhere counts what was spent in them once, there and back."""
    papayya_clock.freeze(datetime(2026, 6, 15, 16, tzinfo=UTC))
    day = ("budget", "set", "--tenant", "acme", "--per", "day", "--usd", "1", "--timezone")
    with world(papayya_database) as made:
        made.carry(made.run("r"), "before", paid)
        papayya(*day, "UTC")
        made.carry(made.run("r"), "after", paid)
    for zone in ("Asia/Tokyo", "UTC", "Pacific/Honolulu"):
        one = papayya_json(*day, zone)["budget"]
        assert (one["spent_usd"], one["left_usd"]) == ("0.2", "0.8")
    with psycopg.connect(papayya_database) as connection:
        assert connection.execute("SELECT * FROM papayya.audit_budgets_v1()").fetchall() == []


@pytest.mark.parametrize("usd", ["-1", "lots", "NaN", "5000000000", "0.0000000001", "40,5"])
def test_amounts(filled: World, usd: str) -> None:
    """What is no exact amount of dollars is wrong usage."""
    assert "Error:" in papayya(*SET, "--usd", usd, code=2).stderr
    assert papayya_json("budget")["budgets"] == []


def test_remove(filled: World) -> None:
    """A budget goes by its id or its account, once; of two units or periods one must be said."""
    papayya(*SET, "--usd", "40")
    papayya("budget", "set", "--tenant", "acme", "--tokens", "100")
    said = papayya("budget", "remove", "--tenant", "acme", code=1).stderr
    assert "2 budgets could be meant; give the ID, or: --unit usd --per month (ID" in said
    assert (
        "$40.00 a month for tenant acme is taken away"
        in papayya("budget", "remove", "--tenant", "acme", "--unit", "usd").stdout
    )
    [one] = papayya_json("budget")["budgets"]
    assert papayya_json("budget", "remove", str(one["id"]))["changed"] == 1
    again = papayya("budget", "remove", str(one["id"])).stdout
    assert f"nothing to do: there is no budget #{one['id']}" in again
    assert "no budget of tenant nobody" in papayya("budget", "remove", "--tenant", "nobody").stdout
    assert papayya_json("budget")["budgets"] == []
    assert "give the ID of a budget" in papayya("budget", "remove", code=2).stderr


def test_what_it_parked(filled: World, papayya_database: str) -> None:
    """Raising says how items go on that it had parked: of scripts by their run, others by a pump."""
    papayya(*SET, "--usd", "0.10")
    [item] = filled.submit(filled.run("r"), "open")
    ref = filled.runtime.register(Agent("tag", "v1"))
    assert filled.store.open(item.item_id, ref).verdict == "pause"
    [one] = papayya_json("budget")["budgets"]
    assert one["parked"] == 1
    shown = papayya(*SET, "--usd", "0.05").stdout
    assert (
        "1 item stays parked: nothing is left. Raise it further, or wait until it renews" in shown
    )
    shown = papayya(*SET, "--usd", "1").stdout
    assert "1 parked item of scripts goes on with: PAPAYYA_RUN_ID=r <your command>" in shown
    sql = "UPDATE papayya.item SET envelope_hash = '\\x00' WHERE id = %s"
    change(papayya_database, sql, item.item_id)
    said = papayya_json(*SET, "--usd", "2")["next"]
    assert said[0] == "1 parked item goes on by itself, as far as there is room."
    assert said[1].startswith("No pump is at work that sends them")
    sql = "INSERT INTO papayya.leader VALUES ('pump', 'me', papayya.now() + interval '1 h')"
    change(papayya_database, sql)
    assert len(papayya_json(*SET, "--usd", "3")["next"]) == 1
    said = papayya_json("budget", "remove", "--tenant", "acme")["next"]
    assert said == ["1 parked item goes on by itself."]
    assert papayya_json("item", "open")["state"] == "queued"


def test_hostile_names(papayya_database: str) -> None:
    """What a name holds acts on no terminal."""
    for command in (("budget", "set", "--usd", "1", "--tenant", HOSTILE), ("budget",)):
        assert not set("\x1b\x9b\u202e") & set(papayya(*command).stdout)


def test_the_oldest_are_left_out(filled: World) -> None:
    """Budgets that stand come first, then those of the newest runs; the rest is named."""
    for name in ("r1", "r2"):
        filled.run(name, budget_nusd=1)
    papayya(*SET, "--usd", "1")
    found = papayya_json("budget", "--limit", "2")
    assert ([one["run"] for one in found["budgets"]], found["more"]) == ([None, "r2"], True)
    assert "older ones are not shown" in papayya("budget", "--limit", "2").stdout


@pytest.mark.usefixtures("in_program")
def test_in_python() -> None:
    """A program sets, changes, reads and removes budgets; its amounts are Decimal."""
    one = budget.set(tenant="acme", usd=40, per="month", timezone="Europe/Berlin")
    assert isinstance(one, Budget)
    assert [one.amount, one.spent, one.left, one.overdraft] == [40, 0, 40, 0]
    assert budget.get(tenant="acme", per="month") == one == budget.list(tenant="acme")[0]
    assert budget.set(tenant="acme", usd=0.1, per="month").amount == Decimal("0.1")
    assert budget.set(tenant="acme", tokens=7).unit == "tokens"
    assert budget.get(tenant="acme") is None
    assert budget.get(tenant="nobody") is None
    assert [each.unit for each in budget.list()] == ["usd", "tokens"]
    assert budget.remove(tenant="acme", unit="tokens")
    assert not budget.remove(tenant="acme", unit="tokens")


@pytest.mark.usefixtures("in_program")
def test_in_python_what_is_wrong() -> None:
    """What cannot be a budget is refused before anything is written."""
    with pytest.raises(InvalidBudget, match="give either usd or tokens"):
        budget.set(tenant="acme")
    with pytest.raises(InvalidBudget, match="give a tenant, run, agent or key"):
        budget.set(usd=1)
    with pytest.raises(InvalidBudget, match="4 billion US dollars"):
        budget.set(tenant="acme", usd=True)
    with pytest.raises(InvalidBudget, match="whole number"):
        budget.set(tenant="acme", tokens=1.5)  # type: ignore[arg-type]
    with pytest.raises(InvalidBudget, match="per 'week'"):
        budget.set(tenant="acme", usd=1, per="week")  # type: ignore[arg-type]
    with pytest.raises(InvalidBudget, match="no time zone Nowhere"):
        budget.set(tenant="acme", usd=1, per="day", timezone="Nowhere")
    with pytest.raises(UnknownName, match="no run 'r'"):
        budget.set(run="r", usd=1)
    with pytest.raises(InvalidKey):
        budget.set(tenant="", usd=1)
    assert budget.list() == []


def test_in_python_when_off() -> None:
    """In the mode off no database is asked, and wrong amounts are still wrong."""
    with program_when_off():
        assert budget.set(tenant="acme", usd=1).left == 1
        assert (budget.get(tenant="acme"), budget.list()) == (None, [])
        assert not budget.remove(tenant="acme")
        with pytest.raises(InvalidBudget):
            budget.set(tenant="acme", usd="much")


def test_keys(papayya_database: str) -> None:
    """A key gets a name before its first call; a budget on it takes the name or the print."""
    assert "papayya keys print says the print of yours" in papayya("keys").stdout
    secret = "sk-test-1"
    piped = CliRunner().invoke(cli, ["keys", "print", "--provider", "OpenAI"], input=f"{secret}\n")
    key = piped.stdout.strip()
    assert key.startswith("openai/")
    named = CliRunner().invoke(
        cli,
        ["keys", "print", "--provider", "openai", "--env", "MY_KEY", "--json"],
        env={"MY_KEY": secret},
    )
    assert json.loads(named.stdout)["key"] == key
    assert (
        f"key {key} is production from now on" in papayya("keys", "name", key, "production").stdout
    )
    assert "nothing to do" in papayya("keys", "name", "production", "production").stdout
    papayya("budget", "set", "--key", "production", "--usd", "5")
    assert papayya_json("budget", "set", "--key", key, "--usd", "5")["changed"] == 0
    [one] = papayya_json("keys")["keys"]
    assert (one["key"], one["name"], one["calls"], one["budgets"]) == (key, "production", 0, 1)
    assert "production" in papayya("keys").stdout


def test_keys_that_cannot_be() -> None:
    """A token without an owner, an empty stdin and an unset variable are errors that say so."""
    of = ["keys", "print", "--provider", "openai"]
    for text, said in (("ya29.abc", "lives for an hour"), ("", "stdin is empty")):
        found = CliRunner().invoke(cli, of, input=text)
        assert (found.exit_code, said in found.stderr) == (1, True), found.stderr
    assert "the variable NOPE is not set" in papayya(*of, "--env", "NOPE", code=1).stderr


def test_names_of_keys(papayya_database: str) -> None:
    """One name is one key's; a print is no name; an unknown name is an error."""
    papayya("keys", "name", PRINT, "a")
    other = "openai/fedcba9876543210"
    assert (
        f"key {PRINT} has the name a already" in papayya("keys", "name", other, "a", code=1).stderr
    )
    assert "choose another one" in papayya("keys", "name", PRINT, other, code=1).stderr
    assert "no key 'b'" in papayya("keys", "name", "b", "c", code=1).stderr
    papayya("keys", "name", "a", "b")
    assert [one["name"] for one in papayya_json("keys")["keys"]] == ["b"]


@pytest.mark.usefixtures("papayya_database")
def test_another_of_the_same() -> None:
    """Who sets a second budget of an account hears of the first one."""
    papayya("budget", "set", "--tenant", "acme", "--usd", "40", "--per", "month")
    said = papayya("budget", "set", "--tenant", "acme", "--usd", "3").stdout
    assert "It has others, and all of them hold: $40.00 a month for tenant acme" in said
