"""`papayya pause` and `papayya resume`: what they change, what they say, and that they may repeat."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from papayya_core.errors import Paused
from tests.integration.cli_world import World, broken, papayya, papayya_json, world


@pytest.fixture
def filled(papayya_database: str) -> Iterator[World]:
    """A run with an item at work, one that is queued and one that failed."""
    with world(papayya_database) as made:
        run = made.run("r")
        made.open(run, "busy")
        made.submit(run, "open")
        made.carry(run, "bad", broken)
        yield made


def parked(value: object) -> None:
    """An agent's body that parks its item."""
    raise Paused(f"{value} is not ready")


def state(key: str) -> str:
    return str(papayya_json("item", key)["state"])


def test_a_run(filled: World) -> None:
    """A paused run says what stops and what waits, shows it, and goes on when it is resumed."""
    shown = papayya("pause", "r").stdout
    assert "run r is paused: 1 item stops at its next step; 1 open item does not start" in shown
    assert "what is submitted later parks" in shown
    assert "papayya resume r" in shown
    assert papayya_json("run", "r")["state"] == "paused"
    assert "paused" in papayya("runs").stdout
    assert "starts nothing new; go on with: papayya resume r" in papayya("run", "r").stdout
    assert "asked       to pause" in papayya("item", "busy").stdout
    shown = papayya("resume", "r").stdout
    assert "run r goes on; 1 paused item of it may go on" in shown
    assert "PAPAYYA_RUN_ID=r <your command>" in shown
    assert papayya_json("run", "r")["state"] == "open"
    assert papayya_json("item", "busy")["paused_by"] is None


def test_twice_is_once(filled: World) -> None:
    """A second pause or resume changes nothing, says so, and is no error."""
    assert papayya_json("pause", "r")["changed"] == 1
    again = papayya_json("pause", "r")
    assert (again["act"], again["run"], again["tenant"], again["changed"]) == (
        "pause",
        "r",
        None,
        0,
    )
    assert again["said"].startswith("run r was paused already: 1 item stops")
    assert papayya_json("resume", "r")["changed"] == 1
    assert papayya_json("resume", "r") == {
        "act": "resume",
        "run": "r",
        "tenant": None,
        "changed": 0,
        "said": "run r was not paused",
        "next": "Go on with: PAPAYYA_RUN_ID=r <your command>",
    }


def test_a_tenant(filled: World) -> None:
    """A tenant is paused over all runs; a resumed run or item says that its tenant still is."""
    filled.submit(filled.run("second"), "other")
    shown = papayya("pause", "--tenant", "acme").stdout
    assert (
        "tenant acme is paused: 1 item stops at its next step; 2 open items do not start" in shown
    )
    assert "papayya resume --tenant acme" in shown
    [tenant] = papayya_json("tenants")["tenants"]
    assert tenant["paused_at"] is not None
    assert "paused" in papayya("tenants").stdout
    assert "Tenant acme is paused" in papayya("run", "second").stdout
    assert "its tenant is paused, too" in papayya("resume", "--item", "busy").stdout.lower()
    shown = papayya("resume", "--tenant", "acme").stdout
    assert "tenant acme goes on" in shown
    assert "tenant acme was not paused" in papayya("resume", "--tenant", "acme").stdout


def test_one_item(filled: World) -> None:
    """One item is paused and resumed by its key; its run goes on."""
    assert "item open is paused" in papayya("pause", "--item", "open").stdout
    shown = papayya("item", "open").stdout
    assert "because     paused by hand" in shown
    assert "paused      by hand, since" in shown
    assert "open is paused already (paused by hand)" in papayya("pause", "--item", "open").stdout
    assert "stops at its next step and parks" in papayya("pause", "--item", "busy").stdout
    assert "was asked to pause already" in papayya("pause", "--item", "busy").stdout
    assert papayya_json("run", "r")["state"] == "open"
    assert "papayya resume r lets them go on" in papayya("run", "r").stdout
    assert "item open is queued again" in papayya("resume", "--item", "open").stdout
    assert "it had not parked yet" in papayya("resume", "--item", "busy").stdout
    assert "nothing to do: open is not paused" in papayya("resume", "--item", "open").stdout
    assert (state("open"), state("busy")) == ("queued", "running")
    assert "bad has ended (failed)" in papayya("pause", "--item", "bad").stdout


def test_retry_points_to_resume(filled: World) -> None:
    """Retry leaves alone what is paused, and says what lets it go on."""
    filled.carry(filled.run("r"), "early", parked)
    papayya("retry", "r")
    assert (state("early"), state("bad")) == ("paused", "queued")
    shown = papayya("retry", "--item", "early").stdout
    assert "it is paused (early is not ready); papayya resume" in shown
    assert "1 paused: papayya resume r" in papayya("retry", "r").stdout
    assert "1 paused item of it may go on now" in papayya("resume", "r").stdout
    assert state("early") == "queued"


def test_items_of_one_key(filled: World) -> None:
    """A key that is paused in one run only is meant there; one of two runs must be named."""
    filled.submit(filled.run("second"), "open")
    assert "give --run, one of: r, second" in papayya("pause", "--item", "open", code=1).stderr
    papayya("pause", "second", "--item", "open")
    assert papayya_json("resume", "--item", "open")["run"] == "second"


@pytest.mark.parametrize("act", ["pause", "resume"])
@pytest.mark.parametrize(
    "arguments",
    [[], ["r", "--tenant", "acme"], ["r", "--agent", "tag"], ["r", "--run", "other"]],
)
def test_what_is_meant_must_be_said(filled: World, act: str, arguments: list[str]) -> None:
    """Too little or contradictory words are wrong usage: exit 2, and nothing changes."""
    assert "Error:" in papayya(act, *arguments, code=2).stderr
    assert papayya_json("run", "r")["state"] == "open"


@pytest.mark.parametrize("act", ["pause", "resume"])
def test_unknown_names(filled: World, act: str) -> None:
    """A run, tenant or item that does not exist is an error that names near ones."""
    assert "no run 'rr'; did you mean" in papayya(act, "rr", code=1).stderr
    assert "no tenant 'acmee'; did you mean" in papayya(act, "--tenant", "acmee", code=1).stderr
    assert "papayya items lists keys" in papayya(act, "--item", "nothing", code=1).stderr
