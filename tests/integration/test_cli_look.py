"""The commands that look: what they show to people and to programs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from tests.integration.cli_world import (
    HOSTILE,
    World,
    broken,
    paid,
    papayya,
    papayya_json,
    papayya_lines,
    step,
    world,
)


@pytest.fixture
def filled(papayya_database: str) -> Iterator[World]:
    """A run of two tenants with items in several states."""
    with world(papayya_database) as made:
        run = made.run("nightly", label="demo", budget_nusd=10**9)
        made.carry(run, "a", paid)
        made.carry(run, "a", paid, value="other")
        made.carry(run, "bad", broken, tenant="globex")
        made.submit(run, "later")
        yield made


def test_runs_lists_runs(filled: World) -> None:
    """A run is shown with its counts and its exact cost."""
    head, line = papayya("runs").stdout.splitlines()[:2]
    assert head.split() == [
        "RUN",
        "STATE",
        "ITEMS",
        "DONE",
        "FLAGGED",
        "OPEN",
        "COST",
        "STARTED",
        "LABEL",
    ]
    assert line.split()[:7] == ["nightly", "open", "4", "2", "1", "1", "$0.2000"]
    [run] = papayya_json("runs")["runs"]
    assert (run["run"], run["cost_nusd"], run["cost_usd"]) == ("nightly", 200_000_000, "0.2")


def test_runs_says_when_it_is_cut(filled: World) -> None:
    """A list that leaves runs out says so."""
    filled.run("second")
    assert "older ones are not shown" in papayya("runs", "--limit", "1").stdout
    assert papayya_json("runs", "--limit", "1")["more"] is True


def test_run_shows_one_page(filled: World) -> None:
    """A run's page has budget, tenants, findings with an example, and how to go on."""
    page = papayya("run", "nightly").stdout
    for part in (
        "4 items: 2 done, 1 flagged, 1 open",
        "$0.2000 of $1.0000 spent, $0.8000 left",
        "ValueError: cannot read 'bad'",
        "PAPAYYA_RUN_ID=nightly <your command>",
        "papayya retry nightly",
        "globex",
    ):
        assert part in page
    document = papayya_json("run", "nightly")
    assert document["findings"][0]["sample_key"] == "bad"
    assert [one["success_rate"] for one in document["by_tenant"]] == [1.0, 0.0]
    assert document["budgets"][0]["limit_usd"] == "1"


def test_items_can_be_paged_by_what_is_printed(filled: World) -> None:
    """The last line of a cut list is the command that shows the rest."""
    shown = papayya("items", "--run", "nightly", "--limit", "3").stdout.splitlines()
    command = shlex.split(shown[-1].partition("go on with: ")[2])
    assert papayya(*command[1:]).stdout.splitlines()[1].split()[0] == "a"


def test_items_as_documents(filled: World) -> None:
    """Items come as one document with a cursor, or one a line."""
    document = papayya_json("items", "--limit", "2")
    assert [one["key"] for one in document["items"]] == ["later", "bad"]
    rest = papayya_lines("items", "--after", str(document["next"]))
    assert [one["key"] for one in rest] == ["a#2", "a"]


def test_flagged_items_say_why(filled: World) -> None:
    """The list of what needs a look has the reason in it."""
    shown = papayya("items", "--flagged").stdout
    assert "ValueError: cannot read 'bad'" in shown
    assert "later" not in shown


def test_item_shows_everything(filled: World) -> None:
    """An item's page has its state, input, output, steps and deliveries."""
    page = papayya("item", "a").stdout
    for part in (
        "completed",
        "ok",
        "$0.1000, 10 tokens",
        '"answer": "A"',
        "ask",
        filled.runtime.owner,
    ):
        assert part in page
    document = papayya_json("item", "a")
    assert document["input"] == {"args": ["a"], "kwargs": {}}
    assert document["output"] == {"answer": "A"}
    assert [step["label"] for step in document["checkpoints"]] == ["ask"]
    assert [one["ending"] for one in document["dispatches"]] == ["completed"]


def test_item_shows_findings_with_evidence(filled: World) -> None:
    """A failed item's page says why, with the evidence."""
    page = papayya("item", "bad").stdout
    assert "failed  exception: ValueError: cannot read 'bad'" in page
    assert "builtins.ValueError" in page
    [finding] = papayya_json("item", "bad")["findings"]
    assert finding["evidence"]["type"] == "builtins.ValueError"


def test_item_finds_the_second_of_a_key(filled: World) -> None:
    """``KEY#2`` is the second item of one key, and the first one's page names it."""
    assert papayya_json("item", "a#2")["output"] == {"answer": "OTHER"}
    assert "The same key with other inputs: a#2" in papayya("item", "a").stdout


def test_item_shows_the_newest_of_several(filled: World) -> None:
    """A key of several runs is listed, the newest is shown in full, and --run chooses."""
    filled.carry(filled.run("again"), "a", paid, value="newer")
    page = papayya("item", "a").stdout
    assert page.startswith("2 items have this key")
    assert "run         again" in page
    assert papayya_json("item", "a", "--run", "nightly")["run"] == "nightly"


def test_item_hints_at_near_keys(filled: World) -> None:
    """A key that does not exist ends with 1 and keys that begin alike, on stderr."""
    result = papayya("item", "late", code=1)
    assert result.stdout == ""
    assert result.stderr == "papayya: no item 'late'; there is 'later'\n"


def test_item_limits_steps(filled: World) -> None:
    """An item of many steps shows the first ones and how to see more."""

    def many(_: object) -> None:
        for number in range(5):
            step("s", abs, number)

    filled.carry(filled.run("many"), "steps", many)
    assert "only the first 3:" in papayya("item", "steps", "--steps", "3").stdout
    assert "only the first" not in papayya("item", "steps", "--steps", "5").stdout
    assert len(papayya_json("item", "steps")["checkpoints"]) == 5


def test_results_give_the_outputs_back(filled: World) -> None:
    """Results come as lines, as one document and as text, in the order they were recorded."""
    lines = papayya_lines("results", "nightly")
    assert [(one["key"], one["output"]) for one in lines] == [
        ("a", {"answer": "A"}),
        ("a#2", {"answer": "OTHER"}),
        ("bad", None),
        ("later", None),
    ]
    assert papayya_json("results", "nightly") == {"run": "nightly", "results": lines}
    assert '{"answer": "OTHER"}' in papayya("results", "nightly").stdout


def test_results_are_narrowed(filled: World) -> None:
    """A tenant and a state leave the others out, and no result is an empty array."""
    of = "results", "nightly"
    assert [one["key"] for one in papayya_lines(*of, "--tenant", "globex")] == ["bad"]
    assert [one["key"] for one in papayya_lines(*of, "--state", "queued")] == ["later"]
    assert papayya_json(*of, "--state", "paused")["results"] == []


def test_tenants_have_a_success_rate(filled: World) -> None:
    """Tenants are listed with the share that got what it was sent to do."""
    lines = [line.split() for line in papayya("tenants", "--run", "nightly").stdout.splitlines()]
    assert lines[1][:5] == ["acme", "3", "2", "0", "100"]
    assert papayya_json("tenants", "--run", "nightly")["tenants"][1]["success_rate"] == 0.0


def test_hostile_keys_are_harmless(filled: World) -> None:
    """Markup, escapes and line breaks in a key are shown, and act on nothing."""
    filled.carry(filled.run(HOSTILE), HOSTILE, broken, tenant=HOSTILE, agent=HOSTILE)
    commands: list[tuple[str, ...]] = [("runs",), ("items",), ("tenants",), ("plugins",)]
    commands += [("run", HOSTILE), ("item", HOSTILE), ("results", HOSTILE), ("audit", HOSTILE)]
    for command in commands:
        for form in ([], ["--json"]):
            shown = papayya(*command, *form).stdout
            assert not set("\x1b\x9b\u202e") & set(shown), command
    assert "[red]x[/red]\\n\\x1b[31m\\x9b2J\\u202elong" in papayya("items").stdout
    assert papayya_json("item", HOSTILE)["key"] == HOSTILE


def test_nothing_yet_is_no_error(papayya_database: str) -> None:
    """In an empty database the lists say that there is nothing."""
    assert papayya("runs").stdout == "no runs yet\n"
    assert papayya("items").stdout == "no such items\n"
    assert papayya("tenants").stdout == "no items yet\n"
    assert "there is none yet" in papayya("run", "x", code=1).stderr
    assert papayya_json("items") == {"items": [], "next": None}
