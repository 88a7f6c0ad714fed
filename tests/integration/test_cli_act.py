"""The commands that act: what they change, what they say, and that they may be repeated."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.cli_world import World, broken, papayya, papayya_json, world


@pytest.fixture
def filled(papayya_database: str) -> Iterator[World]:
    """A run with an item that failed and one that is queued."""
    with world(papayya_database) as made:
        run = made.run("r")
        made.carry(run, "bad", broken)
        made.submit(run, "open")
        yield made


def state(key: str, *options: str) -> str:
    return str(papayya_json("item", key, *options)["state"])


def test_retry_queues_what_failed(filled: World) -> None:
    """The failed items of a run are queued again, and the answer says how to go on."""
    shown = papayya("retry", "r").stdout
    assert "1 failed item queued again" in shown
    assert "PAPAYYA_RUN_ID=r <your command>" in shown
    assert state("bad") == "queued"


def test_retry_twice_is_once(filled: World) -> None:
    """A second retry finds nothing to do and is no error."""
    assert papayya_json("retry", "r")["changed"] == 1
    again = papayya_json("retry", "r")
    assert (again["changed"], again["said"]) == (0, "nothing to do: no failed items")


def test_retry_says_what_it_cannot(filled: World) -> None:
    """What completed is not queued again, and why not is said."""
    filled.carry(filled.run("r"), "good")
    assert "it completed, its answers are" in papayya("retry", "--item", "good").stdout
    papayya("cancel", "r")
    assert "run r was cancelled already" in papayya("cancel", "r").stdout
    assert "submit its items in a new run" in papayya("retry", "r").stdout
    assert "there is nothing to hold back" in papayya("drain", "r").stdout


def test_retry_one_item(filled: World) -> None:
    """One item is queued again by its key alone; one that did not fail is left alone."""
    filled.carry(filled.run("r"), "worse", broken)
    papayya("retry", "--item", "bad")
    assert (state("bad"), state("worse")) == ("queued", "failed")
    assert "nothing to do: open is not failed" in papayya("retry", "--item", "open").stdout


def test_retry_asks_which_item_is_meant(filled: World) -> None:
    """A key that failed in two runs, or for two tenants, is not guessed."""
    filled.carry(filled.run("second"), "bad", broken)
    filled.carry(filled.run("second"), "bad", broken, tenant="globex")
    assert "give --run, one of: r, second" in papayya("retry", "--item", "bad", code=1).stderr
    of = "retry", "--item", "bad", "--run", "second"
    assert "give --tenant, one of: acme, globex" in papayya(*of, code=1).stderr
    papayya(*of, "--tenant", "globex")
    assert state("bad", "--run", "second", "--tenant", "globex") == "queued"
    assert state("bad", "--run", "second", "--tenant", "acme") == "failed"


def test_cancel_ends_a_run(filled: World) -> None:
    """Cancelling a run ends what is open and what is submitted later; ended items stay."""
    assert "1 open item cancelled" in papayya("cancel", "r").stdout
    filled.submit(filled.run("r"), "late")
    assert (state("open"), state("late"), state("bad")) == ("cancelled", "cancelled", "failed")
    assert papayya_json("cancel", "r")["changed"] == 0


def test_cancel_one_item(filled: World) -> None:
    """One item is cancelled with a reason; its run goes on."""
    filled.submit(filled.run("r"), "other")
    papayya("cancel", "--item", "open", "--run", "r", "--reason", "duplicate")
    assert papayya_json("item", "open")["reason"] == "duplicate"
    assert state("other") == "queued"
    again = papayya_json("cancel", "--item", "open", "--run", "r")
    assert (again["changed"], again["said"]) == (0, "nothing to do: open is not open")


def test_drain_holds_back(filled: World) -> None:
    """A draining run hands out nothing new until it is told to go on."""
    filled.open(filled.run("r"), "held")
    assert "1 item in hand, 1 held back" in papayya("drain", "r").stdout
    assert "was draining already" in papayya("drain", "r").stdout
    assert papayya_json("run", "r")["state"] == "draining"
    assert papayya_json("drain", "r", "--off")["changed"] == 1
    assert papayya_json("drain", "r", "--off")["changed"] == 0
    assert papayya_json("run", "r")["state"] == "open"


@pytest.mark.parametrize(
    "arguments",
    [
        ["retry"],
        ["retry", "r", "--tenant", "acme"],
        ["retry", "r", "--run", "other"],
        ["cancel"],
        ["cancel", "--item", "open"],
        ["drain"],
    ],
)
def test_what_is_meant_must_be_said(filled: World, arguments: list[str]) -> None:
    """Too little or contradictory words are wrong usage: exit 2, and nothing changes."""
    assert "Error:" in papayya(*arguments, code=2).stderr
    assert (state("bad"), state("open")) == ("failed", "queued")


@pytest.mark.parametrize("act", ["retry", "cancel", "drain"])
def test_an_unknown_run_is_an_error(filled: World, act: str) -> None:
    """Acting on a run that does not exist says so."""
    assert "no run 'rr'; did you mean" in papayya(act, "rr", code=1).stderr
