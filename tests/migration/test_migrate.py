"""The migration runner on real databases."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from multiprocessing.pool import ThreadPool

import psycopg
import pytest

from papayya_core import migrate
from papayya_core.migrate import Migration, Status

SHIPPED = tuple(m.name for m in migrate.migrations())


@pytest.fixture
def conn(papayya_empty_database: str) -> Iterator[migrate.Connection]:
    """A connection to a database in which nothing was migrated."""
    with psycopg.connect(papayya_empty_database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[Migration]:
    """The shipped files, as a list that a test may change."""
    found = migrate.migrations()
    monkeypatch.setattr(migrate, "migrations", lambda: found)
    return found


def exists(conn: migrate.Connection, relation: str) -> bool:
    """Say whether a table or index is there."""
    return conn.execute("SELECT to_regclass(%s) IS NOT NULL", [relation]).fetchone() == (True,)


def test_fresh(papayya_empty_database: str, conn: migrate.Connection) -> None:
    """A fresh database gets every file in order, reported one by one."""
    heard: list[str] = []
    assert list(SHIPPED) == migrate.apply(papayya_empty_database, heard.append)
    assert list(SHIPPED) == heard
    assert Status(initialised=True, applied=SHIPPED) == migrate.verify(conn)


def test_no_op(papayya_empty_database: str) -> None:
    """Applying again does nothing."""
    migrate.apply(papayya_empty_database)
    assert migrate.apply(papayya_empty_database) == []


def test_not_initialised(conn: migrate.Connection) -> None:
    """Before the first file, everything is pending and the status says what to run."""
    status = migrate.verify(conn)
    assert (status.initialised, status.pending) == (False, SHIPPED)
    assert "papayya migrate" in str(status)
    with pytest.raises(migrate.SchemaOutdated, match="papayya migrate"):
        status.check()


def test_many_at_once(papayya_empty_database: str, conn: migrate.Connection) -> None:
    """Of eight processes that start together, one applies each file and none fails."""
    with multiprocessing.get_context("spawn").Pool(8) as pool:
        done = pool.map(migrate.apply, [papayya_empty_database] * 8)
    assert sorted(SHIPPED) == sorted(name for names in done for name in names)
    assert migrate.verify(conn).up_to_date


def test_edited_file(
    papayya_empty_database: str, conn: migrate.Connection, files: list[Migration]
) -> None:
    """A file that was edited after it was applied stops everything, by name."""
    migrate.apply(papayya_empty_database)
    files[0] = Migration(files[0].name, files[0].text + "-- edited\n")
    with pytest.raises(migrate.ChecksumMismatch, match=SHIPPED[0]):
        migrate.apply(papayya_empty_database)
    with pytest.raises(migrate.ChecksumMismatch):
        migrate.verify(conn).check()


def test_failing_statement(
    papayya_empty_database: str, conn: migrate.Connection, files: list[Migration]
) -> None:
    """A file that fails in its second statement leaves nothing, and those before it stay."""
    files.append(Migration("9000_bad", "CREATE TABLE papayya.half (); SELECT 1 / 0;"))
    with pytest.raises(migrate.MigrationError, match="9000_bad failed, nothing of it is left"):
        migrate.apply(papayya_empty_database)
    assert not exists(conn, "papayya.half")
    assert migrate.verify(conn).pending == ("9000_bad",)


def test_failing_first_file(
    papayya_empty_database: str, conn: migrate.Connection, files: list[Migration]
) -> None:
    """When the very first file fails, the database stays as it was."""
    files[:] = [Migration("0001_bad", files[0].text + "SELECT 1 / 0;")]
    with pytest.raises(migrate.MigrationError):
        migrate.apply(papayya_empty_database)
    assert not migrate.verify(conn).initialised


def test_newer_database(
    papayya_empty_database: str, conn: migrate.Connection, files: list[Migration]
) -> None:
    """A database with migrations we do not know is refused, and says to upgrade."""
    migrate.apply(papayya_empty_database)
    conn.execute("INSERT INTO papayya.migration VALUES ('9999_future', 'x', now())")
    assert migrate.verify(conn).unknown == ("9999_future",)
    with pytest.raises(migrate.DatabaseNewer, match="upgrade papayya-core"):
        migrate.apply(papayya_empty_database)


def test_outside_transaction(
    papayya_empty_database: str, conn: migrate.Connection, files: list[Migration]
) -> None:
    """A file marked no-transaction may build an index concurrently, while others wait."""
    text = "-- papayya: no-transaction\nCREATE INDEX CONCURRENTLY extra ON papayya.tenant (weight)"
    files.append(Migration("9000_index", text))
    with ThreadPool(4) as pool:
        done = pool.map(migrate.apply, [papayya_empty_database] * 4)
    assert [*SHIPPED, "9000_index"] == sorted(name for names in done for name in names)
    assert exists(conn, "papayya.extra")


def test_lock_is_waited_for(
    papayya_empty_database: str, conn: migrate.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who finds the lock held for too long gives up, says so and changes nothing."""
    monkeypatch.setattr(migrate, "LOCK_PATIENCE", 0.0)
    conn.execute("SELECT pg_advisory_lock(%s)", [migrate.LOCK_KEY])
    with pytest.raises(migrate.MigrationError, match="pg_stat_activity"):
        migrate.apply(papayya_empty_database)
    assert not migrate.verify(conn).initialised


def test_sql(papayya_empty_database: str, conn: migrate.Connection) -> None:
    """The printed script, run by hand, leaves the database as `apply` would."""
    conn.execute(migrate.sql(conn).encode())
    assert Status(initialised=True, applied=SHIPPED) == migrate.verify(conn)
    assert migrate.sql(conn) == ""


def test_file_names() -> None:
    """Files are numbered without gaps and say what they do."""
    numbers = [int(name[:4]) for name in SHIPPED]
    assert list(range(1, len(SHIPPED) + 1)) == numbers
    assert all(name[4] == "_" and name[5:].replace("_", "").isalnum() for name in SHIPPED)
