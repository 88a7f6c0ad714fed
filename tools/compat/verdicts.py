"""What a test came to on each side, and when two sides differ. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Status = Literal["passed", "xfailed", "skipped", "failed", "missing"]  # the best first
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one test; `missing` when the process ended before the test did."""

    status: Status
    seconds: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """All runs of one test, without and with the installation, in order."""

    test: str
    bare: tuple[Result, ...]
    ours: tuple[Result, ...]

    @property
    def worse(self) -> bool:
        """Tell whether the best run with the installation is worse than the best without."""
        return best(self.ours) > best(self.bare)

    @property
    def better(self) -> bool:
        """Tell whether the test came to something better with the installation."""
        return best(self.ours) < best(self.bare)

    @property
    def flaky(self) -> bool:
        """Tell whether runs of one side disagree."""
        return any(len({result.status for result in side}) > 1 for side in (self.bare, self.ours))


def best(results: Sequence[Result]) -> int:
    """Return the place of the best run in STATUSES; failed and missing are equally bad."""
    worst = STATUSES.index("failed")
    return min([worst, *(STATUSES.index(result.status) for result in results)])


def read(lines: Iterable[str], tests: Sequence[str]) -> dict[str, Result]:
    """Fold the recorded phases into one result for each of the tests that should have run."""
    phases: dict[str, list[Mapping[str, Any]]] = {test: [] for test in tests}
    for line in lines:
        if line.endswith("\n"):  # else the process died while it wrote
            phase = json.loads(line)
            phases.setdefault(phase["test"], []).append(phase)
    return {test: fold(found) for test, found in phases.items()}


def fold(phases: Sequence[Mapping[str, Any]]) -> Result:
    """Make one result of setup, call, teardown and subtests: the worst of them counts."""
    seconds = sum(phase["seconds"] for phase in phases if phase["when"] != "subtest")
    for phase in phases:
        if phase["outcome"] == "failed":
            return Result("failed", seconds, f"{phase['when']}: {phase['why']}")
    if not any(phase["when"] == "teardown" for phase in phases):
        return Result("missing", seconds, "the run ended before the test did")
    for phase in phases:
        if phase["outcome"] == "skipped" and phase["when"] != "subtest":
            return Result("xfailed" if phase["expected"] else "skipped", seconds, phase["why"])
    return Result("passed", seconds)
