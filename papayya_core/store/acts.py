"""What people do by hand: retry, cancel, drain. Each may be repeated without harm."""

from __future__ import annotations

from collections.abc import Sequence

from papayya_core.store.reads import Connection, values
from papayya_core.store.sql import statements

_FILE = "acts.sql"


def retry(connection: Connection, run: str | None, items: Sequence[int] | None = None) -> int:
    """Queue the failed and parked items of a run, or these; return how many there were."""
    chosen = None if items is None else list(items)
    return len(values(connection, "retry", _FILE, run=run, items=chosen))


def cancel(
    connection: Connection, run: str, reason: str, items: Sequence[int] | None = None
) -> int:
    """Cancel the open items of a run and the run itself, or these items only; return how many."""
    chosen = None if items is None else list(items)
    return len(values(connection, "cancel", _FILE, run=run, reason=reason, items=chosen))


def drain(connection: Connection, run: str, *, on: bool) -> bool:
    """Stop handing out the items of a run, or go on; return whether that changed anything."""
    return bool(values(connection, "drain", _FILE, run=run, on=on))


def in_hand(connection: Connection, run: str) -> tuple[int, int]:
    """Count what is running in a run, and what is open but not running."""
    [(running, held)] = connection.execute(statements(_FILE)["drained"], {"run": run}).fetchall()
    return running, held
