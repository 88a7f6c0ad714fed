"""Checks of the database: reachable, of a known version, migrated; who is at work in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from papayya_core import embedded, migrate
from papayya_core import owner as owners
from papayya_core.cli.checks import Check
from papayya_core.cli.checks.process import address, settings_work
from papayya_core.cli.group import describe
from papayya_core.cli.show import count
from papayya_core.cli.state import Cli
from papayya_core.errors import PapayyaError
from papayya_core.store.reads import Connection
from papayya_core.store.sql import statements

OLDEST, NEWEST = 15, 18
SHIFT = 2.0  # seconds
SKEW = 30.0  # seconds


def server(cli: Cli) -> Iterator[Check]:
    """Connect, then look at version, schema, clocks and leases."""
    if not settings_work(cli):
        return
    url = cli.settings.database_url
    if url is None and not embedded.status(cli.settings.home).initialised:
        return
    try:
        dsn = url or embedded.ensure(cli.settings.home)
        connection = cli.connect(dsn)
    except (psycopg.Error, PapayyaError) as error:
        todo = "start it, or correct PAPAYYA_DATABASE_URL" if url else None
        yield Check("database", "bad", describe(error).partition("`papayya doctor`")[0], todo)
        return
    yield from _version(connection, dsn)
    status = migrate.verify(connection)
    if not status.up_to_date:
        yield Check("schema", "bad", str(status), _schema_todo(status))
        return
    yield Check("schema", "ok", str(status))
    yield from _clocks(connection)
    yield from _leases(connection)
    yield from _leader(connection)


def _read(connection: Connection, name: str) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statements("reads.sql")[name]).fetchall()


def _version(connection: Connection, dsn: str) -> Iterator[Check]:
    [found] = _read(connection, "server")
    major = found["version_num"] // 10_000
    text = f"Postgres {found['version']}, {address(dsn)}"
    if major < OLDEST:
        yield Check("database", "bad", text, f"upgrade it to Postgres {OLDEST} or later")
    elif major > NEWEST:
        yield Check("database", "warn", text, f"tested with {OLDEST} to {NEWEST} only")
    else:
        yield Check("database", "ok", text)
    skew = abs((found["server"] - datetime.now(UTC)).total_seconds())
    if skew > SKEW:
        text = f"the server's clock and this machine's differ by {skew:,.0f} s"
        yield Check("clock", "warn", text, "the server's counts; set both by NTP")


def _schema_todo(status: migrate.Status) -> str:
    if status.changed:
        return "install the version of papayya-core that applied them"
    return "upgrade papayya-core" if status.unknown else "papayya migrate"


def _clocks(connection: Connection) -> Iterator[Check]:
    [found] = _read(connection, "clocks")
    shift = (found["contract"] - found["server"]).total_seconds()
    if abs(shift) > SHIFT:
        todo = "restore papayya.now() as in the first migration, unless this is a test"
        yield Check("clock", "warn", f"papayya.now() is shifted by {shift:+,.0f} s", todo)
    else:
        yield Check("clock", "ok", "papayya.now() is the server's clock")


def _leases(connection: Connection) -> Iterator[Check]:
    holders = _read(connection, "leases")
    if not holders:
        yield Check("workers", "ok", "no item is being worked on")
    for one in holders:
        text = f"{count(one['items'], 'item')} with {one['locked_by']}"
        todo = "papayya pump --once puts them back"
        if owners.is_dead(one["locked_by"]):
            yield Check("workers", "warn", f"{text}, whose process is dead", todo)
        elif one["expired"]:
            text += f", {count(one['expired'], 'lease has', 'leases have')} run out"
            yield Check("workers", "warn", text, todo)
        else:
            yield Check("workers", "ok", text)


def _leader(connection: Connection) -> Iterator[Check]:
    found = _read(connection, "pump_leader")
    if not found:
        yield Check("pump", "ok", "none at the moment; scripts bring their own")
        return
    text = f"led by {found[0]['locked_by']}"
    if owners.is_dead(found[0]["locked_by"]):
        text += ", whose process is gone; the next pump takes over once its lease has run out"
    yield Check("pump", "ok", text)
