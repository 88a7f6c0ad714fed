"""Time travel for tests: the clock of the contract is a function in Postgres, replaced here.

It counts for everything the contract decides (leases, due times, deadlines), in all connections
and processes of that database. Time that programs measure by themselves is not touched.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from types import TracebackType
from typing import LiteralString, Self

import psycopg
from psycopg import sql

_REPLACE: LiteralString = """
CREATE OR REPLACE FUNCTION papayya.now() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT {} $$
"""
_REAL = sql.SQL("clock_timestamp()")


class Clock:
    """The clock of one database; the real one again after ``restore`` or the end of the block."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._offset = timedelta()
        self._frozen: datetime | None = None

    def now(self) -> datetime:
        """Read the clock."""
        [(now,)] = self._connection.execute("SELECT papayya.now()").fetchall()
        assert isinstance(now, datetime)  # noqa: S101 - for the type checker
        return now

    def shift(self, seconds: float) -> None:
        """Move the clock forward, or back with a negative number."""
        delta = timedelta(seconds=seconds)
        if self._frozen is not None:
            self.freeze(self._frozen + delta)
            return
        self._offset += delta
        self._set(sql.SQL("{} + {}").format(_REAL, sql.Literal(self._offset)))

    def freeze(self, at: datetime | None = None) -> datetime:
        """Stop the clock, now or at a moment; return it."""
        self._frozen = at if at is not None else self.now()
        self._set(sql.Literal(self._frozen))
        return self._frozen

    def restore(self) -> None:
        """Let the real clock run again."""
        self._offset, self._frozen = timedelta(), None
        self._set(_REAL)

    def _set(self, expression: sql.Composable) -> None:
        self._connection.execute(sql.SQL(_REPLACE).format(expression))

    def close(self) -> None:
        """Restore the clock and let the connection go."""
        self.restore()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()
