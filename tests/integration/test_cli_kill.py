"""`papayya kill`: a run, a tenant's items or one item, and `papayya cancel`, which is the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from papayya_core.cli.main import cli
from tests.integration.cli_world import World, papayya, papayya_json, world


@pytest.fixture
def filled(papayya_database: str) -> Iterator[World]:
    """A run with an item at work, one that is queued, and one of another tenant."""
    with world(papayya_database) as made:
        run = made.run("r")
        made.open(run, "busy")
        made.submit(run, "open")
        made.submit(run, "other", tenant="globex")
        yield made


def state(key: str) -> str:
    return str(papayya_json("item", key)["state"])


def number(key: str) -> str:
    return str(papayya_json("item", key)["id"])


def test_run(filled: World) -> None:
    """A killed run has nothing open, and says what stops when; what comes later is cancelled."""
    said = papayya_json("kill", "r")
    assert said["said"] == (
        "run r and 3 open items cancelled; 1 of them is at work and stops at the next step or call"
    )
    filled.submit(filled.run("r"), "late")
    assert {state(key) for key in ("busy", "open", "other", "late")} == {"cancelled"}
    assert papayya_json("kill", "r")["said"] == "run r was cancelled already"


def test_item_by_id(filled: World) -> None:
    """An item is killed by its id alone; the second time there is nothing to do."""
    shown = papayya("kill", number("busy"), "--reason", "too dear").stdout
    assert "item busy cancelled: it is at work, and stops at its next step or call" in shown
    assert papayya_json("item", "busy")["reason"] == "too dear"
    assert state("open") == "queued"
    again = papayya_json("kill", "--id", number("busy"))
    assert (again["changed"], again["said"]) == (0, "nothing to do: busy is not open")


@pytest.mark.parametrize("zeros", ["0", "00"])
def test_no_id(filled: World, zeros: str) -> None:
    """A number that no ID is written as is a run's name: where there is none, nothing is killed."""
    assert "no run" in papayya("kill", zeros + number("open"), code=1).stderr
    assert state("open") == "queued"


def test_item_by_key(filled: World) -> None:
    """An item is killed by its run and key, with its tenant where several have that key."""
    filled.submit(filled.run("r"), "open", tenant="globex")
    assert "give --tenant" in papayya("kill", "r", "--item", "open", code=1).stderr
    assert papayya_json("kill", "r", "--item", "open", "--tenant", "globex")["changed"] == 1


def test_tenant(filled: World) -> None:
    """What a tenant has open is killed, in a run or everywhere; others and what comes later stay."""
    filled.submit(filled.run("second"), "elsewhere", tenant="globex")
    said = papayya_json("kill", "r", "--tenant", "globex")
    assert (said["changed"], state("other"), state("elsewhere")) == (1, "cancelled", "queued")
    said = papayya_json("kill", "--tenant", "globex")
    assert "unless: papayya pause --tenant globex" in said["said"]
    assert (said["changed"], state("elsewhere"), state("open")) == (1, "cancelled", "queued")
    assert papayya_json("kill", "--tenant", "globex")["changed"] == 0


def test_a_number_that_is_both(filled: World) -> None:
    """A number that is a run and an item's id is not guessed."""
    filled.submit(filled.run(number("open")), "k")
    shown = papayya("kill", number("open"), code=1).stderr
    assert f"give --run {number('open')} or --id {number('open')}" in shown
    assert (state("open"), state("k")) == ("queued", "queued")
    papayya("kill", "--run", number("open"))
    assert (state("open"), state("k")) == ("queued", "cancelled")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--item", "open"],
        ["r", "--agent", "tag"],
        ["r", "--id", "1"],
        ["--id", "1", "--tenant", "acme"],
    ],
)
def test_what_is_meant_must_be_said(filled: World, arguments: list[str]) -> None:
    """Too little or contradictory words are wrong usage, and nothing changes."""
    assert "Error:" in papayya("kill", *arguments, code=2).stderr
    assert (state("busy"), state("open")) == ("running", "queued")


def test_unknown_names(filled: World) -> None:
    """A run, a tenant or an id that does not exist is an error."""
    assert "no run 'rr'" in papayya("kill", "rr", code=1).stderr
    assert "no tenant 'globes'" in papayya("kill", "--tenant", "globes", code=1).stderr
    assert "no item has the ID 99999" in papayya("kill", "--id", "99999", code=1).stderr


def test_cancel_is_kill() -> None:
    """The other name is the same command."""
    assert cli.own["kill"].load() is cli.own["cancel"].load()
