"""The fixtures that users of the pytest plugin get."""

from __future__ import annotations

import os

import psycopg
import pytest

from papayya_core import migrate


@pytest.mark.parametrize("name", ["first", "second"])
def test_database_is_fresh(papayya_database: str, name: str) -> None:
    """Each test gets a migrated database that holds nothing of another test."""
    with psycopg.connect(papayya_database) as conn:
        assert migrate.verify(conn).up_to_date
        conn.execute("CREATE TABLE papayya.mine ()")
        conn.execute("CREATE OR REPLACE FUNCTION papayya.mine() RETURNS int RETURN 1")


def test_database_is_current(papayya_database: str) -> None:
    """Code that reads the environment finds the test's database."""
    assert os.environ["PAPAYYA_DATABASE_URL"] == papayya_database


def test_databases_are_dropped(papayya_empty_database: str, papayya_template: str) -> None:
    """Of the tests before this one no database is left."""
    with psycopg.connect(papayya_empty_database) as conn:
        found = conn.execute("SELECT datname FROM pg_database WHERE datname LIKE 'papayya_test%'")
        assert {name for (name,) in found} == {conn.info.dbname, papayya_template}
