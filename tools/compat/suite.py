"""Celery's integration suite, from the source distribution of the Celery that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

FILES = ("t/integration/test_canvas.py", "t/integration/test_tasks.py")
KEPT = ("t/__init__.py", "t/canvas_helpers.py", "t/integration/", "pyproject.toml")


class SuiteError(Exception):
    """The suite could not be fetched."""


def cache() -> Path:
    """Return the directory that holds the suite, the baselines and the logs; made if need be."""
    base = os.environ.get("XDG_CACHE_HOME")
    path = (Path(base) if base else Path("~/.cache").expanduser()) / "papayya" / "celery-compat"
    path.mkdir(parents=True, exist_ok=True)
    return path


def ensure() -> Path:
    """Return the suite's directory, fetched from the package index unless it is there.

    Only the suite is unpacked: what is tested is the Celery that is installed. Raises SuiteError.
    """
    celery = version("celery")
    root = cache() / f"suite-{celery}"
    if not root.exists():
        with tempfile.TemporaryDirectory(dir=cache()) as folder:
            unpacked = _unpack(_fetch(celery, Path(folder)), Path(folder) / "unpacked")
            shutil.move(unpacked, root)
    return root


def _fetch(celery: str, folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    wanted = ["--no-deps", "--no-binary=celery", f"--dest={folder}", f"celery=={celery}"]
    done = subprocess.run([*pip, *wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SuiteError(
            f"cannot fetch the source distribution of celery {celery}, which holds the suite;"
            f" is the package index within reach? pip said:\n{done.stderr.strip()}"
        )
    [archive] = folder.glob("celery-*.tar.gz")
    return archive


def _unpack(archive: Path, to: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(to, [m for m in tar if _inside(m.name).startswith(KEPT)], filter="data")
    [top] = to.iterdir()
    return top


def _inside(name: str) -> str:
    return name.partition("/")[2]
