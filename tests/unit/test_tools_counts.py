"""The proof that no test was left out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support import counts

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run pytest on a project with two unit tests and one acceptance test."""
    monkeypatch.setattr(counts, "TESTS", pytester.path)
    monkeypatch.setattr(counts, "FILE", pytester.path / "expected_counts.toml")
    for name, body in {
        "acceptance/test_c": "def test_c(): pass",
        "unit/test_a": "def test_a(): pass",
        "unit/test_b": "def test_b(): pass",
    }.items():
        path = pytester.path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(body, encoding="utf-8")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return lambda *args: pytester.runpytest_inprocess("-p", "tests.support.counts", *args)


def test_all_there(run: Run, pytester: pytest.Pytester) -> None:
    """What was written down passes when all of it ran."""
    run("--collect-only", "--papayya-counts=write")
    text = (pytester.path / "expected_counts.toml").read_text(encoding="utf-8")
    assert text.endswith("unit = 2\nintegration = 0\nmigration = 0\nacceptance = 1\n")
    assert run("--papayya-counts=check").ret == 0


def test_one_gone(run: Run) -> None:
    """A test that was deselected fails the run, which says where it is missing."""
    run("--collect-only", "--papayya-counts=write")
    result = run("--papayya-counts=check", "--deselect", "unit/test_b.py::test_b")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["counts: unit: 1 fewer passed than expected*make counts"])


def test_one_more(run: Run, pytester: pytest.Pytester) -> None:
    """A test that was added since is only mentioned."""
    run("--collect-only", "--papayya-counts=write")
    (pytester.path / "unit" / "test_d.py").write_text("def test_d(): pass", encoding="utf-8")
    result = run("--papayya-counts=check")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["counts: unit: 1 more than noted*make counts"])


@pytest.mark.parametrize("mark", ["skip", "xfail"])
def test_one_left_out(run: Run, pytester: pytest.Pytester, mark: str) -> None:
    """A test that is skipped, or allowed to fail, fails the run by name."""
    run("--collect-only", "--papayya-counts=write")
    path = pytester.path / "unit" / "test_b.py"
    path.write_text(f"import pytest\n@pytest.mark.{mark}\ndef test_b(): pass", encoding="utf-8")
    result = run("--papayya-counts=check")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["counts: left out: unit/test_b.py::test_b"])


def test_only_when_asked(run: Run) -> None:
    """Without the option a run of a few tests is just that."""
    assert run("unit/test_a.py").ret == 0


def test_order(run: Run) -> None:
    """Cheap stages run first, whatever the order on the command line."""
    result = run("-v", "acceptance", "unit")
    result.stdout.fnmatch_lines(["unit/test_a.py*", "unit/test_b.py*", "acceptance/test_c.py*"])
