"""A fresh, migrated database for each test, copied from one that was migrated once."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from papayya_core import migrate

COPY = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY {}")
QUICK, GENTLE = sql.Identifier("file_copy"), sql.Identifier("wal_log")
DROP = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")


class Databases:
    """Make and drop databases on one server, whose role must be allowed to.

    Use `quick` where nothing has to last: it copies files, which costs a durable server more.
    """

    def __init__(self, dsn: str, *, quick: bool) -> None:
        self._dsn = dsn
        self._strategy = QUICK if quick else GENTLE
        self._prefix = f"papayya_test_{os.getpid()}_{secrets.token_hex(3)}"
        self._made = 0

    @contextmanager
    def template(self) -> Iterator[str]:
        """Make a migrated database for `copy_of`, and yield its name."""
        with self.copy_of("template0") as name:
            migrate.apply(self.dsn(name))
            yield name

    @contextmanager
    def copy_of(self, template: str) -> Iterator[str]:
        """Make a database like `template`, and yield its name; it is dropped at the end."""
        self._made += 1
        name = f"{self._prefix}_{self._made}"
        names = sql.Identifier(name), sql.Identifier(template)
        self._run(COPY.format(*names, self._strategy))
        try:
            yield name
        finally:
            self._run(DROP.format(sql.Identifier(name)))

    def dsn(self, name: str) -> str:
        """Return how to reach one of its databases."""
        return make_conninfo(self._dsn, dbname=name)

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as conn:
            conn.execute(statement)
