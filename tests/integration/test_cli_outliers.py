"""`papayya outliers`: the ranking, what it says to do, and doing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from papayya_core import context
from papayya_core.cli.main import cli
from tests.integration.cli_world import DIME, World, papayya, papayya_json, step, world


def costing(dimes: int) -> Callable[[Any], None]:
    """An agent's body with one step that reports its cost."""

    def buy(number: int) -> None:
        execution = context.current()
        assert execution is not None
        execution.add_cost(context.current_step(), number * DIME, 10 * number)

    return lambda value: step("buy", buy, dimes)


@pytest.fixture
def filled(papayya_database: str) -> Iterator[World]:
    """A run of 24 usual items and two costly ones, of which one has not ended."""
    with world(papayya_database) as made:
        run = made.run("r")
        for n in range(24):
            made.carry(run, f"k{n}", costing(1 + n % 3))
        made.carry(run, "dear", costing(40))
        execution = made.open(run, "runaway", tenant="globex")
        with context.executing(execution):
            costing(90)(None)
        yield made


def test_ranking(filled: World) -> None:
    """What stands out is ranked by cost, with its score and state, and what to do about it."""
    shown = papayya("outliers", "r").stdout
    assert "cost: the median of 25 items is $0.2000" in shown
    rows = [line.split() for line in shown.splitlines() if "$" in line and "median" not in line]
    assert [(row[2], row[3], row[4], row[5]) for row in rows] == [
        ("runaway", "globex", "running", "$9.0000"),
        ("dear", "acme", "completed", "$4.0000"),
    ]
    assert "Look at one: papayya item runaway" in shown
    assert f"Stop one: papayya kill {rows[0][1]}" in shown


def test_document(filled: World) -> None:
    """The document has exact money, the norm, and for each item its id and score."""
    found = papayya_json("outliers", "r")
    assert found["norm"] == {
        "items": 25,
        "median_nusd": 2 * DIME,
        "median_usd": "0.2",
        "mad_nusd": DIME,
        "mad_usd": "0.1",
    }
    first, second = found["outliers"]
    assert (first["key"], first["cost_usd"], first["tokens"]) == ("runaway", "9", 900)
    assert second["score"] == pytest.approx(0.6745 * 38)
    assert found["killed"] is None


def test_threshold_and_limit(filled: World) -> None:
    """A higher threshold shows less, and says what was highest; the limit cuts the ranking."""
    shown = papayya("outliers", "r", "--threshold", "1000").stdout
    assert "no outlier: the highest is runaway with $9.0000, a score of 59.4, below 1000" in shown
    found = papayya_json("outliers", "r", "--by", "tokens", "--limit", "1")
    assert [one["key"] for one in found["outliers"]] == ["runaway"]


def test_few_items(filled: World) -> None:
    """A run of few items has a ranking, with a warning; a run without any says so."""
    small = filled.run("small")
    assert "no item of the run has cost anything yet" in papayya("outliers", "small").stdout
    filled.carry(small, "k", costing(1))
    assert "fewer than 20 items" in papayya("outliers", "small").stdout


def test_kill_the_open_ones(filled: World) -> None:
    """--kill asks, and ends what is open of what is shown; what has ended stays as it is."""
    kill = ["outliers", "r", "--kill"]
    refused = CliRunner().invoke(cli, kill, input="n\n")
    assert refused.exit_code == 130
    assert papayya_json("item", "runaway")["state"] == "running"
    done = CliRunner().invoke(cli, kill, input="y\n")
    assert "End 1 open outlier for good?" in done.stdout
    assert "1 item cancelled" in done.stdout
    facts = papayya_json("item", "runaway")
    assert (facts["state"], facts["reason"]) == ("cancelled", "an outlier, cancelled by hand")
    assert papayya_json("item", "dear")["state"] == "completed"
    assert "none of them is open" in papayya(*kill).stdout


def test_kill_without_a_question(filled: World) -> None:
    """--yes asks nothing, which a program has to say; alone it is wrong usage."""
    assert papayya_json("outliers", "r", "--kill", "--yes")["killed"] == 1
    assert "add --yes" in papayya("outliers", "r", "--kill", "--json", code=2).stderr
    assert "--yes needs --kill" in papayya("outliers", "r", "--yes", code=2).stderr


def test_unknown_run(filled: World) -> None:
    """A run that does not exist is an error that names near ones."""
    assert "no run 'rr'; did you mean" in papayya("outliers", "rr", code=1).stderr
