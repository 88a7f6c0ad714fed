"""What the suite came to without us, kept from run to run for one set of versions."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import astuple
from importlib.metadata import version
from pathlib import Path

from tools.compat.verdicts import Result

PACKAGES = ("celery", "kombu", "billiard", "vine", "redis", "pytest", "pytest-timeout")

Runs = dict[str, list[Result]]


def versions() -> dict[str, str]:
    """Name what a bare result may depend on; the server is the caller's to add."""
    found = {package: version(package) for package in PACKAGES}
    return found | {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


class Baseline:
    """Bare results on disk: a list of runs for each test, in order."""

    def __init__(self, folder: Path, facts: Mapping[str, str], *, fresh: bool = False) -> None:
        self._facts = dict(sorted(facts.items()))
        digest = hashlib.sha256(json.dumps(self._facts).encode()).hexdigest()[:12]
        self.path = folder / f"baseline-{facts['celery']}-{digest}.json"
        self.runs: Runs = {} if fresh else self._load()

    def add(self, results: Mapping[str, Result]) -> None:
        """Add a run of some tests, and save; a test that did not run is no result."""
        for test, result in results.items():
            if result.status != "missing":
                self.runs.setdefault(test, []).append(result)
        self._save()

    def _load(self) -> Runs:
        if not self.path.exists():
            return {}
        saved = json.loads(self.path.read_text(encoding="utf-8"))["runs"]
        return {test: [Result(*run) for run in runs] for test, runs in saved.items()}

    def _save(self) -> None:
        runs = {test: [astuple(run) for run in found] for test, found in self.runs.items()}
        draft = self.path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps({"versions": self._facts, "runs": runs}, indent=1) + "\n")
        draft.replace(self.path)
