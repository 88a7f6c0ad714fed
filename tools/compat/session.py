"""One run of Celery's suite: a pytest process, bare or with an installation on the suite's apps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.redis_server import RedisServer
from tests.support.watchdog import watchdog
from tools.compat import suite, verdicts
from tools.compat.verdicts import Result

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ("pytest_timeout", "celery.contrib.pytest", "tools.compat.plugin")
STRANGERS = ("PAPAYYA_", "PYTEST_", "CELERY_")  # the caller's settings are not the suite's
TEST_S = 300  # for a test that sets no limit itself; the same on both sides
RUN_S = 5400.0  # for a whole run; what has not run by then is missing
ENDING_S = 20.0
LOOK_S = 0.5

Progress = Callable[[int], object]


class RunError(Exception):
    """The suite could not be run at all."""


@dataclass(frozen=True, slots=True)
class Session:
    """How the suite is run; `install` is module:function, called with each app of the suite."""

    root: Path
    redis: RedisServer
    install: str | None = None
    dsn: str | None = None

    def collect(self, arguments: Sequence[str]) -> list[str]:
        """List the ids of the tests that pytest's arguments choose. Raises RunError."""
        command = [*self._command(), "--collect-only", "-q", *arguments, *suite.FILES]
        done = subprocess.run(
            command, cwd=self.root, env=self._env(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = f"{done.stdout}\n{done.stderr}".strip()
            raise RunError(f"pytest finds no tests to run; it said:\n{said[-2000:]}")
        return [line for line in done.stdout.splitlines() if "::" in line]

    def run(self, tests: Sequence[str], log: Path, progress: Progress) -> dict[str, Result]:
        """Run these tests on an empty Redis; `progress` hears how many ended. Raises RunError."""
        self.redis.flushall()
        with tempfile.TemporaryDirectory(prefix="papayya-compat-") as folder:
            record, chosen = Path(folder) / "record.jsonl", Path(folder) / "tests"
            record.touch()
            chosen.write_text("\n".join(tests) + "\n", encoding="utf-8")
            command = [*self._command(), f"--compat-record={record}", f"@{chosen}"]
            with _process(command, self.root, self._env(), log) as process:
                _watch(process, lambda: progress(_ended(record)))
            results = verdicts.read(_lines(record), tests)
        if all(result.status == "missing" for result in results.values()):
            said = log.read_text(encoding="utf-8", errors="replace").strip()
            raise RunError(f"pytest ran none of the tests; {log} ends with:\n{said[-3000:]}")
        return results

    def _command(self) -> list[str]:
        options = ["-p", "no:cacheprovider", "--rootdir", ".", "-c", "pyproject.toml"]
        options += [word for plugin in PLUGINS for word in ("-p", plugin)]
        options += [f"--compat-install={self.install}"] if self.install else []
        return [sys.executable, "-m", "pytest", *options, f"--timeout={TEST_S}", "--tb=short"]

    def _env(self) -> dict[str, str]:
        """Tell the suite its servers, and keep what the caller's shell sets out of it."""
        env = {name: text for name, text in os.environ.items() if not name.startswith(STRANGERS)}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
        env |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        env["WORKER_LOGLEVEL"] = "INFO"  # two of the tests read the worker's log
        env |= {"TEST_BROKER": self.redis.url(), "TEST_BACKEND": self.redis.url()}
        env |= {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(self.redis.port)}
        return env | ({"PAPAYYA_DATABASE_URL": self.dsn} if self.dsn else {})


@contextmanager
def _process(
    command: list[str], root: Path, env: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process in a group of its own, and end all of the group, even if we are killed."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=root,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    watchdog().remember(process.pid)
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(ENDING_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        watchdog().forget(process.pid)


def _watch(process: subprocess.Popen[bytes], look: Callable[[], object]) -> None:
    deadline = time.monotonic() + RUN_S
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_S)
        look()


def _ended(record: Path) -> int:
    return sum('"when": "teardown"' in line for line in _lines(record))


def _lines(record: Path) -> list[str]:
    return record.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
