"""Stages by directory, in order of cost; and proof that no test was left out.

With `--papayya-counts=check` a run fails when fewer of a stage's tests passed than
tests/expected_counts.toml says, or when any test was skipped or expected to fail; more than it says
is only mentioned. `=write` notes the numbers that were collected.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
FILE = TESTS / "expected_counts.toml"
COST = {"unit": 0, "integration": 1, "migration": 1, "acceptance": 2}
HEADER = "# Tests per stage, as `make counts` found them; `make test` fails when one is missing.\n"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --papayya-counts."""
    parser.addoption("--papayya-counts", choices=("check", "write"), help="see tests/support")


def pytest_configure(config: pytest.Config) -> None:
    """Register the counter."""
    config.pluginmanager.register(Counts(config), "papayya-counts")


class Counts:
    """What was collected and what passed in this run."""

    def __init__(self, config: pytest.Config) -> None:
        self.asked: str | None = config.getoption("--papayya-counts")
        self.stages: dict[str, str] = {}
        self.passed: Counter[str] = Counter()
        self.left_out: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Mark each test with its stage, cheap stages first."""
        for item in items:
            stage = stage_of(item.path)
            self.stages[item.nodeid] = stage
            if stage in COST:
                item.add_marker(stage)
        items.sort(key=lambda item: COST.get(self.stages[item.nodeid], len(COST)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count what passed, and note what was not really run."""
        if report.skipped or hasattr(report, "wasxfail"):
            self.left_out.append(report.nodeid)
        elif report.when == "call" and report.passed:
            self.passed[self.stages[report.nodeid]] += 1

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the numbers, or fail the run that does not reach them."""
        if self.asked == "write" and not session.testsfailed:
            FILE.write_text(render(Counter(self.stages.values())), encoding="utf-8")
        if self.asked == "check" and self.missing() and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what is missing."""
        if self.asked != "check":
            return
        for line in self.missing():
            terminalreporter.write_line(f"counts: {line}", red=True)
        for stage, more in (Counter(self.passed) - expected()).items():
            terminalreporter.write_line(f"counts: {stage}: {more} more than noted; make counts")

    def missing(self) -> list[str]:
        """List what was left out, and each stage in which fewer passed than should."""
        lines = [f"left out: {nodeid}" for nodeid in self.left_out]
        for stage, fewer in (expected() - self.passed).items():
            lines.append(f"{stage}: {fewer} fewer passed than expected; on purpose? make counts")
        return lines


def expected() -> Counter[str]:
    """Read how many tests each stage had when they were last counted."""
    return Counter(tomllib.loads(FILE.read_text(encoding="utf-8")))


def stage_of(path: Path) -> str:
    """Name the directory under tests/ that a test lies in."""
    return path.relative_to(TESTS).parts[0]


def render(counts: Counter[str]) -> str:
    """Return the text of expected_counts.toml."""
    return HEADER + "".join(f"{stage} = {counts[stage]}\n" for stage in COST)
