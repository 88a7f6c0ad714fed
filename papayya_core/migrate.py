"""Bring a database to the schema of this version, by plain SQL files, once each.

The files of `papayya_migrations` are applied in order, each in one transaction together with its
row in the ledger `papayya.migration`. Nothing here runs by itself: code that starts up calls
`verify` and says what to do. Needs a session connection, so no transaction-mode pooler.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import files

import psycopg
from psycopg import sql as pgsql

from papayya_core.errors import PapayyaError

Connection = psycopg.Connection[tuple[object, ...]]

NO_TRANSACTION = "-- papayya: no-transaction"
LOCK_KEY = 0x7061_7061_7979_61  # "papayya"
LOCK_PATIENCE = 300.0  # seconds
POLL = 0.2  # seconds
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '10s'"
RECORD = "INSERT INTO papayya.migration (name, checksum) VALUES (%s, %s)"


class MigrationError(PapayyaError):
    """A migration could not be applied; nothing of it is left behind."""


class ChecksumMismatch(MigrationError):
    """A file that was applied has another text now."""


class DatabaseNewer(MigrationError):
    """The database holds migrations this version does not know."""


class SchemaOutdated(MigrationError):
    """The database lacks migrations this version needs."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name without `.sql`, and its text."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def in_transaction(self) -> bool:
        return not self.text.startswith(NO_TRANSACTION)


@dataclass(frozen=True, slots=True)
class Status:
    """How a database compares with the files: names, in order."""

    initialised: bool
    applied: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def up_to_date(self) -> bool:
        return not (self.pending or self.unknown or self.changed)

    def __str__(self) -> str:
        if self.changed:
            return f"changed after they were applied: {', '.join(self.changed)}"
        if self.unknown:
            return f"newer than this version of papayya-core: it has {', '.join(self.unknown)}"
        if not self.initialised:
            return "not initialised; run: papayya migrate"
        if self.pending:
            return f"{len(self.pending)} pending: {', '.join(self.pending)}; run: papayya migrate"
        return f"up to date ({self.applied[-1]})"

    def check(self) -> None:
        """Raise the error that fits unless the database is up to date."""
        if self.changed:
            raise ChecksumMismatch(
                f"the database's migrations are {self}; install the version that applied them"
            )
        if self.unknown:
            raise DatabaseNewer(f"the database is {self}; upgrade papayya-core")
        if self.pending:
            raise SchemaOutdated(f"the database is {self}")


def migrations() -> list[Migration]:
    """Read the shipped files, in order."""
    entries = [e for e in files("papayya_migrations").iterdir() if e.name.endswith(".sql")]
    return [
        Migration(e.name.removesuffix(".sql"), e.read_text(encoding="utf-8"))
        for e in sorted(entries, key=lambda e: e.name)
    ]


def pending(conn: Connection) -> list[Migration]:
    """Name what `apply` would do. Raises ChecksumMismatch or DatabaseNewer."""
    known = migrations()
    status = _compare(_ledger(conn), known)
    if status.changed or status.unknown:
        status.check()
    return [m for m in known if m.name in status.pending]


def verify(conn: Connection) -> Status:
    """Compare a database with the files; changes nothing."""
    return _compare(_ledger(conn), migrations())


def apply(dsn: str, report: Callable[[str], object] = lambda _: None) -> list[str]:
    """Apply what is pending and return its names; any number of processes may call it at once.

    `report` hears each name before it is applied.
    """
    with closing(psycopg.connect(dsn, autocommit=True, application_name="papayya migrate")) as conn:
        if not pending(conn):
            return []
        _lock(conn)
        done = []
        for migration in pending(conn):
            report(migration.name)
            _run(conn, migration)
            done.append(migration.name)
        return done


def sql(conn: Connection) -> str:
    """Print what is pending, with its ledger rows, for psql or a DBA's own tool."""
    return "\n".join(_script(m) for m in pending(conn))


def _ledger(conn: Connection) -> dict[str, str] | None:
    exists = conn.execute("SELECT to_regclass('papayya.migration') IS NOT NULL").fetchone()
    if exists is None or not exists[0]:
        return None
    rows = conn.execute("SELECT name, checksum FROM papayya.migration ORDER BY name")
    return {str(name): str(checksum) for name, checksum in rows}


def _compare(ledger: dict[str, str] | None, known: Iterable[Migration]) -> Status:
    if ledger is None:
        return Status(initialised=False, pending=tuple(m.name for m in known))
    sums = {m.name: m.checksum for m in known}
    return Status(
        initialised=True,
        applied=tuple(ledger),
        pending=tuple(name for name in sums if name not in ledger),
        unknown=tuple(name for name in ledger if name not in sums),
        changed=tuple(n for n in ledger if n in sums and ledger[n] != sums[n]),
    )


def _lock(conn: Connection) -> None:
    # Polled, because a session blocked in pg_advisory_lock holds a snapshot that makes
    # CREATE INDEX CONCURRENTLY in the holder a deadlock. The end of the session releases it.
    deadline = time.monotonic() + LOCK_PATIENCE
    while conn.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_KEY]).fetchone() != (True,):
        if time.monotonic() > deadline:
            raise MigrationError(
                f"another `papayya migrate` has held the lock for {LOCK_PATIENCE:g} s;"
                " look for application_name 'papayya migrate' in pg_stat_activity"
            )
        time.sleep(POLL)


def _run(conn: Connection, migration: Migration) -> None:
    text = migration.text.encode()
    try:
        if not migration.in_transaction:
            conn.execute(text, prepare=False)
            conn.execute(RECORD, [migration.name, migration.checksum])
            return
        with conn.transaction():
            conn.execute(LOCK_TIMEOUT)
            conn.execute(text, prepare=False)
            conn.execute(RECORD, [migration.name, migration.checksum])
    except psycopg.Error as exc:
        kept = "nothing of it is left" if migration.in_transaction else "it can be run again"
        raise MigrationError(f"migration {migration.name} failed, {kept}: {exc}") from exc


def _script(migration: Migration) -> str:
    record = pgsql.SQL("INSERT INTO papayya.migration (name, checksum) VALUES ({}, {});").format(
        migration.name, migration.checksum
    )
    body = f"{migration.text.rstrip()}\n{record.as_string()}"
    if migration.in_transaction:
        body = f"BEGIN;\n{LOCK_TIMEOUT};\n{body}\nCOMMIT;"
    return f"-- {migration.name}\n{body}\n"
