"""A script of plain Python in miniature: its process can end and start again on one database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from papayya import configure
from papayya_core import audit, context, runtime
from papayya_core.runtime import Runtime
from papayya_core.settings import Settings

CENT = 10_000_000  # nano-dollars


class Till(list[Any]):
    """What was paid for, in order."""

    def buy(self, value: Any) -> Any:
        """Pay for a value, and return it."""
        self.append(value)
        return value


class Script:
    """One database, and the process that works on it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._connection = psycopg.connect(dsn, autocommit=True)

    def start(self, plugins: Iterable[object] = (), **settings: Any) -> Runtime:
        """End the process, if there is one, and start another."""
        context.activate(None)
        chosen = {"database_url": self.dsn, "heartbeat": "off", "pool_size": 4, **settings}
        return configure(Settings.load({}, **chosen), plugins)

    def rows(self, sql: str, *values: object) -> list[Any]:
        """Read rows."""
        return self._connection.execute(sql.encode(), values).fetchall()

    def column(self, sql: str, *values: object) -> list[Any]:
        """Read the only column."""
        return [value for (value,) in self.rows(sql, *values)]

    def one(self, sql: str, *values: object) -> Any:
        """Read the only row; of one column, its value."""
        [row] = self.rows(sql, *values)
        return row[0] if len(row) == 1 else row

    def change(self, sql: str, *values: object) -> None:
        """Change rows by hand."""
        self._connection.execute(sql.encode(), values)

    def run(self) -> str:
        """Name the only run."""
        return str(self.one("SELECT name FROM papayya.run"))

    def states(self) -> dict[str, str]:
        """Tell the state of each item by the key that people see."""
        return dict(self.rows("SELECT shown_key, state::text FROM papayya.item_now ORDER BY id"))

    def checks(self, key: str) -> list[str]:
        """List the findings of an item by their checks, in order."""
        return self.column(
            "SELECT check_name FROM papayya.finding f JOIN papayya.item_now i ON i.id = f.item_id"
            " WHERE i.shown_key = %s AND retired_at IS NULL ORDER BY f.id",
            key,
        )

    def steps(self, key: str | None = None) -> list[tuple[str, str, int]]:
        """List label, state and attempts of the steps of an item (or all), by number."""
        return self.rows(
            "SELECT s.label, s.state::text, s.attempts FROM papayya.step s"
            " JOIN papayya.item_now i ON i.id = s.item_id"
            " WHERE %s::text IS NULL OR i.shown_key = %s ORDER BY i.id, s.n",
            key,
            key,
        )

    def assert_explained(self) -> None:
        """Insist that the audit of every run explains everything."""
        for name in self.column("SELECT name FROM papayya.run"):
            report = audit.audit(self._connection, name)
            assert report.explained, report
            assert not report.dropped, report

    def close(self) -> None:
        """End the process, and leave no runtime behind."""
        context.activate(None)
        if runtime._runtime is not None:
            runtime._runtime.close()
            runtime._runtime = None
        self._connection.close()


@contextmanager
def scripted(dsn: str) -> Iterator[Script]:
    """Run a script's process for a block; every run must pass its audit at the end."""
    made = Script(dsn)
    made.start()
    try:
        yield made
        made.assert_explained()
    finally:
        made.close()
