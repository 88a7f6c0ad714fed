"""The comparison of Celery's suite with us and without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.compat import verdicts
from tools.compat.baseline import Baseline
from tools.compat.verdicts import Pair, Result, Status

FACTS = {"celery": "5.7.0", "python": "3.13.1"}


def phase(when: str, outcome: str = "passed", *, expected: bool = False) -> dict[str, Any]:
    """Make a recorded phase."""
    why = "" if outcome == "passed" else "because"
    return {"when": when, "outcome": outcome, "expected": expected, "seconds": 1.0, "why": why}


def runs(*statuses: Status) -> tuple[Result, ...]:
    """Make runs of one test."""
    return tuple(Result(status) for status in statuses)


@pytest.mark.parametrize(
    ("phases", "status"),
    [
        ([phase("setup"), phase("call"), phase("teardown")], "passed"),
        ([phase("setup"), phase("call", expected=True), phase("teardown")], "passed"),
        ([phase("setup"), phase("call", "skipped", expected=True), phase("teardown")], "xfailed"),
        ([phase("setup", "skipped"), phase("teardown")], "skipped"),
        ([phase("setup"), phase("call", "failed"), phase("teardown")], "failed"),
        ([phase("setup"), phase("call"), phase("teardown", "failed")], "failed"),
        ([phase("setup"), phase("subtest", "failed"), phase("call"), phase("teardown")], "failed"),
        ([phase("setup"), phase("subtest", "skipped"), phase("call"), phase("teardown")], "passed"),
        ([phase("setup"), phase("call")], "missing"),
        ([], "missing"),
    ],
)
def test_the_worst_phase_counts(phases: list[dict[str, Any]], status: Status) -> None:
    """A test is what the worst of its phases says, and missing without its last one."""
    assert verdicts.fold(phases).status == status


def test_a_test_that_was_never_reached_is_missing() -> None:
    """Each chosen test has a result, also where the record breaks off in a line."""
    lines = [json.dumps({"test": "a", **phase("teardown")}) + "\n", '{"test": "b", "wh']
    found = verdicts.read(lines, ["a", "b"])
    assert {test: result.status for test, result in found.items()} == {
        "a": "passed",
        "b": "missing",
    }


@pytest.mark.parametrize(
    ("bare", "ours", "worse"),
    [
        (runs("passed"), runs("passed"), False),
        (runs("passed"), runs("failed", "failed", "failed"), True),
        (runs("passed"), runs("failed", "passed"), False),
        (runs("failed", "failed", "passed"), runs("failed", "failed", "failed"), True),
        (runs("failed"), runs("failed"), False),
        (runs("failed"), runs("missing"), False),
        (runs("failed"), runs("passed"), False),
        (runs("passed"), runs("skipped"), True),
        (runs("xfailed"), runs("failed"), True),
        ((), runs("failed"), False),
        (runs("passed"), (), True),
    ],
)
def test_the_best_runs_are_compared(
    bare: tuple[Result, ...], ours: tuple[Result, ...], *, worse: bool
) -> None:
    """It is a difference only when no run with us is as good as the best one without."""
    assert Pair("a", bare, ours).worse is worse


@pytest.mark.parametrize(("side", "flaky"), [(("passed", "failed"), True), (("failed",), False)])
def test_runs_of_one_side_that_disagree_are_flaky(side: tuple[Status, ...], *, flaky: bool) -> None:
    """Flaky is what differs from itself, not what differs between the sides."""
    assert Pair("a", runs(*side), runs("passed")).flaky is flaky


def test_a_baseline_is_kept_for_its_versions_only(tmp_path: Path) -> None:
    """Bare results come back from disk, but not for another Python."""
    Baseline(tmp_path, FACTS).add({"a": Result("failed", 1.5, "call: no"), "b": Result("missing")})
    assert Baseline(tmp_path, FACTS).runs == {"a": [Result("failed", 1.5, "call: no")]}
    assert Baseline(tmp_path, FACTS | {"python": "3.14.0"}).runs == {}


def test_apps_are_installed_on_and_tests_recorded(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plugin calls the installation with what an app's fixture made, before a test has it."""
    pytester.makepyfile(
        installing="def install(app): app.append('installed')",
        test_it="""
            import pytest

            @pytest.fixture
            def celery_app():
                return []

            def test_it(celery_app):
                assert celery_app == ["installed"]

            def test_not():
                raise ValueError("why not")
            """,
    )
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.syspath_prepend(pytester.path)
    options = "--compat-record=record", "--compat-install=installing:install"
    pytester.runpytest_inprocess("-p", "tools.compat.plugin", *options)
    lines = (pytester.path / "record").read_text().splitlines(keepends=True)
    found = verdicts.read(lines, [])
    assert {test: (result.status, result.why) for test, result in found.items()} == {
        "test_it.py::test_it": ("passed", ""),
        "test_it.py::test_not": ("failed", "call: ValueError: why not"),
    }
