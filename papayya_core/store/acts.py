"""What people do by hand: retry, pause, resume, cancel, drain. Each may be repeated without harm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from papayya_core.contract import Send
from papayya_core.store.reads import Connection, values
from papayya_core.store.sql import statements

_FILE = "acts.sql"


class Returned(NamedTuple):
    """An item on its way back to its carrier, and the seconds after which it is due."""

    send: Send
    delay: float


def retry(connection: Connection, run: str | None, items: Sequence[int] | None = None) -> int:
    """Queue the failed items of a run, or these; return how many there were."""
    chosen = None if items is None else list(items)
    return len(values(connection, "retry", _FILE, run=run, items=chosen))


def pause(
    connection: Connection,
    run: str | None = None,
    tenant: str | None = None,
    items: Sequence[int] | None = None,
) -> int:
    """Pause a run, a tenant or these items; return how many items were touched now.

    Those at work park at their next step. The second time is for what was just being opened.
    """
    return sum(_hold(connection, "pause", run, tenant, items) for _ in range(2))


def resume(
    connection: Connection,
    run: str | None = None,
    tenant: str | None = None,
    items: Sequence[int] | None = None,
) -> int:
    """Go on with a run, a tenant or these items; return how many items were touched."""
    return _hold(connection, "resume", run, tenant, items)


def _hold(
    connection: Connection,
    act: str,
    run: str | None,
    tenant: str | None,
    items: Sequence[int] | None,
) -> int:
    chosen = None if items is None else list(items)
    return len(values(connection, act, _FILE, run=run, tenant=tenant, items=chosen))


def is_paused(connection: Connection, run: str | None = None, tenant: str | None = None) -> bool:
    """Tell whether a run, or a tenant, is paused by hand."""
    return any(values(connection, "paused", _FILE, run=run, tenant=tenant))


def cancel(
    connection: Connection, run: str, reason: str, items: Sequence[int] | None = None
) -> int:
    """Cancel the open items of a run and the run itself, or these items only; return how many."""
    chosen = None if items is None else list(items)
    return len(values(connection, "cancel", _FILE, run=run, reason=reason, items=chosen))


def hand_back(
    connection: Connection, run: str | None, carriers: Sequence[str], limit: int
) -> list[Returned]:
    """End parked items of a run, or of all, as handed back, for their carriers to send them.

    Call it in a transaction that lasts until they are sent.
    """
    params = {"run": run, "carriers": list(carriers), "limit": limit}
    found = connection.execute(statements(_FILE)["hand_back"], params).fetchall()
    return [Returned(Send(*row[:-1]), float(row[-1])) for row in found]


def drain(connection: Connection, run: str, *, on: bool) -> bool:
    """Stop handing out the items of a run, or go on; return whether that changed anything."""
    return bool(values(connection, "drain", _FILE, run=run, on=on))


def in_hand(
    connection: Connection, run: str | None = None, tenant: str | None = None
) -> tuple[int, int]:
    """Count what is running of a run or a tenant, and what is open but not running."""
    params = {"run": run, "tenant": tenant}
    [(running, held)] = connection.execute(statements(_FILE)["in_hand"], params).fetchall()
    return running, held
