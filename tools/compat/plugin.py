"""A pytest plugin for the process that runs Celery's suite: it records, and installs from outside.

The suite's worker is a thread of the same process and its pool is forked from it, so that an
installation on the suite's apps reaches publisher, worker and pool alike.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Generator
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

APPS = ("celery_session_app", "celery_app")  # the fixtures of celery.contrib.pytest that make apps
WHY = 400


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --compat-record and --compat-install."""
    parser.addoption("--compat-record", help="a file for one line of JSON per phase of a test")
    parser.addoption("--compat-install", help="module:function, called with each app of the suite")


def pytest_configure(config: pytest.Config) -> None:
    """Register what was asked for."""
    if path := config.getoption("--compat-record"):
        config.pluginmanager.register(Recorder(Path(path)), "compat-recorder")
    if name := config.getoption("--compat-install"):
        config.pluginmanager.register(Installer(name), "compat-installer")


class Recorder:
    """Write down each report at once, so that a crash of the process loses none."""

    def __init__(self, path: Path) -> None:
        self._file: TextIOWrapper = path.open("a", encoding="utf-8", buffering=1)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record one phase of a test, or one of its subtests."""
        line = {
            "test": report.nodeid,
            "when": "subtest" if hasattr(report, "context") else report.when,
            "outcome": report.outcome,
            "expected": hasattr(report, "wasxfail"),
            "seconds": round(report.duration, 3),
            "why": reason(report.longrepr),
        }
        self._file.write(json.dumps(line) + "\n")

    def pytest_unconfigure(self) -> None:
        """Close the file."""
        self._file.close()


class Installer:
    """Call `install(app)` with each app that the suite's fixtures make, before it is used."""

    def __init__(self, name: str) -> None:
        module, _, function = name.partition(":")
        self._install: Callable[[Any], object] = getattr(
            importlib.import_module(module), function or "install"
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """Install on what a fixture of an app has just made."""
        made = yield
        if fixturedef.argname in APPS:
            self._install(made)
        return made


def reason(longrepr: object) -> str:
    """Say in a line why a test did not pass; empty when it did."""
    crash = getattr(longrepr, "reprcrash", None)
    if crash is None and isinstance(longrepr, tuple):
        return str(longrepr[-1])[:WHY]  # file, line, reason of a skipped test
    lines = str(longrepr or "" if crash is None else crash.message).strip().splitlines()
    return lines[0 if crash is not None else -1][:WHY] if lines else ""
