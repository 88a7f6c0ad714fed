"""Run both sides, and what differs again, until they agree or the reruns are used up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tools.compat import servers
from tools.compat.baseline import Baseline, Runs
from tools.compat.session import Progress, Session
from tools.compat.verdicts import Pair, Result, best

Phase = Callable[[str, int], Progress]  # title and number of tests → who hears how many ended


class Comparison:
    """The bare side comes from the baseline as far as it goes; the other is always run."""

    def __init__(
        self, session: Session, install: str, baseline: Baseline, logs: Path, phase: Phase
    ) -> None:
        self._session, self._install, self._baseline = session, install, baseline
        self._logs, self._phase = logs, phase
        self._ours: Runs = {}
        self.items: Counter[str] = Counter()

    def bare(self, tests: Sequence[str]) -> list[Pair]:
        """Run bare what the baseline does not hold, and nothing else."""
        if missing := [test for test in tests if test not in self._baseline.runs]:
            self._run_bare(missing, "bare")
        return self._pairs(tests)

    def compare(self, tests: Sequence[str], reruns: int) -> list[Pair]:
        """Run the tests installed, and up to `reruns` times more, on both sides, what differs."""
        self.bare(tests)
        self._run_installed(tests, "installed")
        for number in range(1, reruns + 1):
            if not (differ := [pair.test for pair in self._pairs(tests) if _differs(pair)]):
                break
            self._run_bare(differ, f"bare, rerun {number}")
            self._run_installed(differ, f"installed, rerun {number}")
        return self._pairs(tests)

    def _pairs(self, tests: Sequence[str]) -> list[Pair]:
        """Put all runs of each test side by side."""
        bare, ours = self._baseline.runs, self._ours
        return [Pair(test, tuple(bare.get(test, ())), tuple(ours.get(test, ()))) for test in tests]

    def _run_bare(self, tests: Sequence[str], title: str) -> None:
        self._baseline.add(self._run(self._session, tests, title))

    def _run_installed(self, tests: Sequence[str], title: str) -> None:
        with servers.postgres() as dsn:
            session = replace(self._session, install=self._install, dsn=dsn)
            for test, result in self._run(session, tests, title).items():
                self._ours.setdefault(test, []).append(result)
            self.items.update(servers.items_by_state(dsn))

    def _run(self, session: Session, tests: Sequence[str], title: str) -> dict[str, Result]:
        log = self._logs / f"{title.replace(', ', '-').replace(' ', '-')}.log"
        return session.run(tests, log, self._phase(title, len(tests)))


def _differs(pair: Pair) -> bool:
    return best(pair.bare) != best(pair.ours)
