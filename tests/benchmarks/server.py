"""The Postgres that everything is measured on: databases of its own, facts, processor time."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from papayya_core import embedded
from papayya_core.settings import Settings

_SHOWN = ("fsync", "synchronous_commit", "wal_sync_method")


class Server:
    """One server; PAPAYYA_DATABASE_URL names it, else the embedded one is started."""

    def __init__(self) -> None:
        settings = Settings.load()
        self.embedded = settings.database_url is None
        self.dsn = settings.database_url or embedded.ensure(settings.home)
        self._processes = _processes(self.dsn)

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        """Make an empty database, yield its URL, and drop it."""
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            conn.execute(drop)
            conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield _url(make_conninfo(self.dsn, dbname=name))
        finally:
            with psycopg.connect(self.dsn, autocommit=True) as conn:
                conn.execute(drop)

    def cpu_seconds(self) -> float | None:
        """Sum what the server's processes have used so far; None when it is not on this machine."""
        return _used(self._processes) if self._processes else None

    def facts(self) -> dict[str, str]:
        """Describe the machine and the server."""
        facts = {
            "date": datetime.now(UTC).date().isoformat(),
            "cores": str(os.cpu_count()),
            "load before": f"{os.getloadavg()[0]:.1f}",
            "python": platform.python_version(),
        }
        with psycopg.connect(self.dsn) as conn:
            version = conn.info.parameter_status("server_version") or "?"
            how = "embedded, Unix socket" if self.embedded else "PAPAYYA_DATABASE_URL"
            facts["postgres"] = f"{version} ({how})"
            for name in _SHOWN:
                [value] = conn.execute("SELECT current_setting(%s)", [name]).fetchone() or ("?",)
                facts[name] = str(value)
        return facts


def _url(conninfo: str) -> str:
    """Write a DSN in the one form that psycopg and SQLAlchemy both read."""
    parts = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
    user, database = parts.pop("user", ""), parts.pop("dbname")
    password = parts.pop("password", "")
    who = quote(user, "") + (f":{quote(password, '')}" if password else "")
    return f"postgresql://{who}@/{quote(database, '')}?{urlencode(parts)}"


def _processes(dsn: str) -> Path | None:
    """Find where the kernel lists the children of the server's first process."""
    with psycopg.connect(dsn) as conn:
        stat = Path(f"/proc/{conn.info.backend_pid}/stat")
        if not stat.exists() or "(postgres)" not in stat.read_text():
            return None
        parent = _fields(stat)[1]
    children = Path(f"/proc/{parent}/task/{parent}/children")
    return children if children.exists() else None


def _used(children: Path) -> float:
    main = _fields(children.parents[2] / "stat")
    ticks = sum(map(int, main[11:15]))  # its own, and of children that have ended
    for pid in children.read_text().split():
        with suppress(OSError):
            ticks += sum(map(int, _fields(Path(f"/proc/{pid}/stat"))[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _fields(stat: Path) -> list[str]:
    """Read a process's status from its third field on (the second may hold spaces)."""
    return stat.read_text().rpartition(")")[2].split()
