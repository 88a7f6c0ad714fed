"""What is shipped, and the project's rules about itself."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import papayya_core

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SOURCE_ROOTS = ("adapters", "interceptors", "migrations")
PACKAGES = sorted(
    init.parent for top in SOURCE_ROOTS for init in (ROOT / top).glob("*/__init__.py")
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in the wheel that a user gets."""
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(target.glob("*.whl"))) as file:
        return set(file.namelist())


def test_version() -> None:
    """The version is asked of the installed distribution, and nothing else is made up."""
    assert papayya_core.__version__ == PROJECT["project"]["version"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = papayya_core.nothing


def test_wheel_has_everything(wheel: set[str]) -> None:
    """The wheel holds every module, SQL file and type marker, under its import name."""
    kept = {".py", ".sql", ".typed"}
    roots = [ROOT / "papayya_core", *PACKAGES]
    files = (file for top in roots for file in top.rglob("*") if file.suffix in kept)
    names = {file.relative_to(ROOT).as_posix() for file in files}
    names |= {name.partition("/")[2] for name in names if name.startswith(SOURCE_ROOTS)}
    assert {name for name in names if not name.startswith(SOURCE_ROOTS)} <= wheel


def test_wheel_has_nothing_else(wheel: set[str]) -> None:
    """The wheel puts only our packages at the top of site-packages."""
    top = {name.partition("/")[0] for name in wheel}
    metadata = f"papayya_core-{PROJECT['project']['version']}.dist-info"
    assert top == {"papayya_core", metadata} | {package.name for package in PACKAGES}


def test_names_in_source_roots() -> None:
    """Source roots hold packages named papayya… and nothing that could shadow another's."""
    assert all(package.name.startswith("papayya") for package in PACKAGES)


def test_packages_have_layers() -> None:
    """Every package is known to the import contracts."""
    known = PROJECT["tool"]["importlinter"]["root_packages"]
    assert sorted(known) == sorted(["papayya_core", *(package.name for package in PACKAGES)])


def test_plugins_are_entry_points() -> None:
    """Every plugin.py outside the core is registered, whatever extras are installed."""
    found = {f"{path.name}.plugin" for path in PACKAGES if (path / "plugin.py").exists()}
    assert found == set(PROJECT["project"].get("entry-points", {}).get("papayya", {}).values())


def test_extra_all_is_all() -> None:
    """The extra `all` brings every other extra."""
    extras = PROJECT["project"]["optional-dependencies"]
    [everything] = extras["all"]
    assert everything == f"papayya-core[{','.join(sorted(set(extras) - {'all'}))}]"


def test_tests_say_what_they_prove() -> None:
    """Every test function has a docstring of one line."""
    silent = [
        f"{path.name}: {node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and len((ast.get_docstring(node) or "").splitlines()) != 1
    ]
    assert silent == []


def test_stand_in_is_a_stranger() -> None:
    """The provider stand-in imports nothing of ours but its own modules."""
    ours = {"papayya", "papayya_core", "papayya_migrations"}
    for path in (ROOT / "papayya_core" / "fake_provider").rglob("*.py"):
        for name in imported(path):
            own = name.startswith("papayya_core.fake_provider")
            assert own or name.partition(".")[0] not in ours, f"{path} imports {name}"


def imported(path: Path) -> list[str]:
    """List the modules a file imports."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def test_plugins_are_light() -> None:
    """Loading the plugins imports no queue, no client and no price table: every process does it."""
    heavy = ("celery", "kombu", "httpx", "httpx2", "botocore", "openai", "genai_prices")
    program = f"""
import sys
from papayya_core.plugins import Plugins
assert all(one.on for one in Plugins().statuses)
print(*(name for name in {heavy!r} if name in sys.modules))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
