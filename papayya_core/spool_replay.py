"""Brings to Postgres what was spooled: by the thread of this process, or for a writer that died.

Each entry may be replayed twice without harm. What Postgres refuses is put aside, so that it never
blocks what comes after it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg.types.numeric import Int8Dumper

from papayya_core import redaction, spool_files
from papayya_core.spool import Spool, put_aside
from papayya_core.spool_files import Entry, Found
from papayya_core.store.cutting import within
from papayya_core.store.sql import statements

logger = redaction.logger("papayya.spool")

Connection = psycopg.Connection[Any]
_CONNECT = 5  # seconds
_ANSWER = 15.0  # seconds for one entry
_TRIES = 5  # of an entry that fails though Postgres is there
_DELAYS = (0.2, 0.5, 1.0, 2.0)
_READ_ONLY = "25006"  # a standby that is not promoted yet
_LEAVING = ("57P", "08", "53", "58")  # it is shut down, unreachable, out of room, or ill


class Refused(Exception):
    """An entry that Postgres would not take, or that fits nothing in it."""


class Adopted(NamedTuple):
    """What came of files of others: entries replayed, refused, and files that still wait."""

    replayed: int = 0
    refused: int = 0
    waiting: int = 0


@contextmanager
def connected(dsn: str) -> Iterator[Connection]:
    """Connect for a replay. Raises psycopg.OperationalError."""
    given = psycopg.conninfo.conninfo_to_dict(dsn).get("connect_timeout")
    with psycopg.connect(
        dsn,
        autocommit=True,
        prepare_threshold=None,
        connect_timeout=int(given or _CONNECT),
        application_name="papayya spool",
    ) as connection:
        connection.adapters.register_dumper(int, Int8Dumper)
        yield connection


def replay(connection: Connection, entry: Entry) -> None:
    """Bring one entry to Postgres.

    Raises Refused, and psycopg.OperationalError when Postgres is away (again).
    """
    try:
        with within(connection, _ANSWER):
            _replay(connection, entry)
    except psycopg.InterfaceError as error:
        raise psycopg.OperationalError(str(error)) from error
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        if error.sqlstate == _READ_ONLY:
            raise psycopg.OperationalError(str(error)) from error
        raise Refused(" ".join(str(error).split())[:300]) from error


def _replay(connection: Connection, entry: Entry) -> None:
    sql = statements()
    params = dict(entry.params)
    if entry.name not in sql:  # a home may be shared with a newer version
        raise Refused(f"this version of Papayya has no statement {entry.name}")
    if entry.name == "hold":
        found = connection.execute(sql["spooled_calls"], params).fetchall()
        if any(state != "replayed" for _, state in found):
            return  # it came through, only its answer did not
        if found:  # the journal's answer did not come through, and was paid for again
            params["token"] = params["spare"]
        [verdict, number, *_] = connection.execute(sql["hold"], params | {"fact": True}).fetchall()[
            0
        ]
        if number is None:
            raise Refused(f"the call could not be recorded: {verdict}")
        return
    if entry.name == "settle":
        found = connection.execute(sql["spooled_calls"], params).fetchall()
        paid = [number for number, state in found if state != "replayed"]
        if not paid:
            raise Refused("it ends a call that this database does not have")
        params["call"] = paid[0]
    connection.execute(sql[entry.name], params)


def is_its_fault(error: psycopg.Error) -> bool:
    """Tell whether Postgres is there, and it is this entry that fails."""
    state = error.sqlstate
    return state is not None and state != _READ_ONLY and not state.startswith(_LEAVING)


class Replayer:
    """Replays the spool of this process in a thread that ends when nothing waits any more."""

    def __init__(self, spool: Spool, dsn: str, revive: Callable[[], object] | None = None) -> None:
        self._spool = spool
        self._dsn = dsn
        self._revive = revive
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._tries = 0

    def start(self) -> None:
        """Replay in the background, unless that is under way."""
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                thread = threading.Thread(target=self._run, name="papayya-spool", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # as at the exit of the interpreter
                    logger.warning("what is spooled is for the next process: %s", error)
                else:
                    self._thread = thread

    def finish(self, seconds: float) -> None:
        """Give what waits a last chance; the rest stays in its file for whoever comes next."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        self._stop.set()
        if len(self._spool):
            logger.warning(
                "%d entries stay in %s: the next process replays them, or `papayya spool replay`",
                len(self._spool),
                spool_files.directory(self._spool.home),
            )

    def _run(self) -> None:
        tries = 0
        while not self._stop.is_set():
            if not self._turn():
                tries = min(tries + 1, len(_DELAYS) - 1)
                self._stop.wait(_DELAYS[tries])
                continue
            tries = 0
            with self._lock:
                if not len(self._spool):
                    self._thread = None
                    return
        self._thread = None

    def _turn(self) -> bool:
        """Replay all that waits; False when Postgres is away."""
        try:
            with connected(self._dsn) as connection:
                number = self._drain(connection)
        except psycopg.Error as error:
            self._spool.is_away = True
            logger.debug("Postgres is still away: %s", error)
            self._try_to_revive()
            return False
        except Exception:  # who waits for what is spooled waits for this thread
            logger.exception("the spool cannot be replayed; trying again")
            return False
        if number:
            logger.info("%d spooled entries are in Postgres now", number)
        return True

    def _drain(self, connection: Connection) -> int:
        number = 0
        while (entry := self._spool.peek()) is not None and not self._stop.is_set():
            try:
                replay(connection, entry)
            except Refused as error:
                self._put_aside(entry, error)
            except psycopg.OperationalError as error:
                self._tries += is_its_fault(error)
                if self._tries < _TRIES:
                    raise
                self._put_aside(entry, error)
            else:
                self._spool.is_away = False
            self._tries = 0
            self._spool.done(entry.n)
            number += 1
        return number

    def _put_aside(self, entry: Entry, error: Exception) -> None:
        _complain(self._spool.refuse(entry), entry, error)

    def _try_to_revive(self) -> None:
        if self._revive is not None:
            with suppress(Exception):  # the next turn tells
                self._revive()


def _complain(path: Path, entry: Entry, error: Exception) -> None:
    logger.error(
        "Postgres refused a spooled %s of item %d (%s); it is kept in %s. When the cause is gone,"
        " `papayya spool replay --refused` tries again",
        entry.name,
        entry.item,
        error,
        path,
    )


def adopt(
    home: Path,
    dsn: str,
    *,
    refused: bool = False,
    anybody: bool = False,
    moved: bool = False,
) -> Adopted:
    """Replay what dead processes of this home have left; what fails is logged, and stays.

    ``refused``: what was refused, too. ``anybody``: also files of whom nobody here can tell whether
    they are alive, while they do not have their lock. ``moved``: also those for a database at
    another address.
    """
    database = spool_files.database_of(dsn)
    total = Adopted()
    for one in spool_files.found(home):
        if (one.is_refused and not refused) or (one.database != database and not moved):
            continue
        claimed = spool_files.claim(one, anybody=anybody or one.is_refused)
        if claimed is None:
            continue
        try:
            added = _adopt(dsn, *claimed)
        except (OSError, psycopg.Error) as error:
            logger.warning("%s is not replayed yet: %s", claimed[0].path, error)
            added = Adopted(waiting=1)
        finally:
            os.close(claimed[1])
        total = Adopted(*(a + b for a, b in zip(total, added, strict=True)))
    return total


def _adopt(dsn: str, one: Found, fd: int) -> Adopted:
    contents = spool_files.read(one.path)
    os.ftruncate(fd, contents.whole)
    replayed = refused = 0
    if contents.entries:
        with connected(dsn) as connection:
            for entry in contents.entries:
                try:
                    replay(connection, entry)
                    replayed += 1
                except Refused as error:
                    refused += 1
                    if one.is_refused:
                        continue
                    data = spool_files.line(spool_files.document_of(entry))
                    _complain(put_aside(one.path, data), entry, error)
                spool_files.write(fd, {"done": entry.n})
        logger.info("%d entries of %s are in Postgres now", replayed, one.path.name)
    if not (one.is_refused and refused):
        _keep_damaged(one.path, contents.damaged)
        one.path.unlink(missing_ok=True)
    return Adopted(replayed, refused)


def _keep_damaged(path: Path, lines: Sequence[bytes]) -> None:
    """Keep what cannot be read of a file that is about to go, beside it."""
    for each in lines:
        logger.warning("%s: a line that was not written to its end is left out", path)
        if each.endswith(b"\n"):  # else its writer died over it, and nobody relied on it
            put_aside(path, each, ".damaged")
