"""The spool of this process: keeps what was paid while Postgres is away, until it is replayed."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import Counter, deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from papayya_core import redaction, spool_files
from papayya_core.owner import owner
from papayya_core.spool_files import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = redaction.logger("papayya.spool")


class _Place(NamedTuple):
    """Where an entry is in the file."""

    n: int
    item: int
    start: int
    size: int


class Spool:
    """Appends entries to the file of this process, which is made at the first of them.

    ``is_away``: whether Postgres was away when somebody last tried. ``on_first``: called when an
    entry was kept and nothing waited before; it sees to it that all is replayed.
    """

    def __init__(self, home: Path, database: str) -> None:
        self.home = home
        self.database = database
        self.is_away = False
        self.is_closed = False  # the process is about to leave: nothing new is begun
        self.on_first: Callable[[], None] | None = None
        self._renew()
        _spools.add(self)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._path: Path | None = None
        self._waiting: deque[_Place] = deque()
        self._items: Counter[int] = Counter()
        self._n = 0

    def forked(self) -> None:
        """In a child: what the parent has spooled is the parent's."""
        if self._fd is not None:
            os.close(self._fd)
        self.is_away = False
        self._renew()

    def __len__(self) -> int:
        return len(self._waiting)

    def is_behind(self, item: int) -> bool:
        """Tell whether something of an item waits to be replayed."""
        return item in self._items

    def keep(self, name: str, params: Mapping[str, Any], item: int) -> bool:
        """Bring a statement to the disk; False when that cannot be done, which is logged."""
        try:
            with self._lock:
                first = not self._waiting
                self._append(name, params, item)
        except (OSError, TypeError, ValueError) as error:
            logger.error(  # noqa: TRY400 - the cause is all there is to know
                "Postgres is away, and %s cannot keep what was paid meanwhile (%s): make room or"
                " let this account write there; until then this waits for Postgres",
                spool_files.directory(self.home),
                error,
            )
            return False
        self.is_away = True
        if first:
            logger.warning(
                "Postgres is away: what is paid meanwhile is kept in %s and replayed when it is"
                " back",
                self._path,
            )
            if self.on_first is not None:
                self.on_first()
        return True

    def _append(self, name: str, params: Mapping[str, Any], item: int) -> None:
        if self._fd is None:
            new = spool_files.new_name(self.database, owner())
            self._fd = spool_files.create(self.home, new)
            self._path = spool_files.directory(self.home) / new
        self._n += 1
        entry = Entry(self._n, name, item, params, time.time())
        start, size = spool_files.write(self._fd, spool_files.document_of(entry))
        try:
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, start)
            raise
        self._waiting.append(_Place(self._n, item, start, size))
        self._items[item] += 1

    def peek(self) -> Entry | None:
        """Return the oldest entry that waits."""
        with self._lock:
            if not self._waiting or self._fd is None:
                return None
            place = self._waiting[0]
            document = spool_files.parse(os.pread(self._fd, place.size, place.start))
        if document is None:
            raise OSError(f"{self._path} was changed by somebody else")
        return spool_files.entry_of(document)

    def done(self, n: int) -> None:
        """Take out the oldest entry, which must be number ``n``; the last one takes the file away."""
        with self._lock:
            if not self._waiting or self._waiting[0].n != n:
                return
            if self._fd is not None:
                with suppress(OSError):  # it would be replayed twice, which does no harm
                    spool_files.write(self._fd, {"done": n})
            place = self._waiting.popleft()
            self._items[place.item] -= 1
            if not self._items[place.item]:
                del self._items[place.item]
            if not self._waiting:
                self._remove()

    def refuse(self, entry: Entry) -> Path:
        """Put an entry aside that Postgres would not take, beside the file. Raises OSError."""
        if self._path is None:
            raise OSError("there is no file")
        return put_aside(self._path, spool_files.line(spool_files.document_of(entry)))

    def close(self) -> None:
        """Leave what waits to whoever comes next; what is kept after this goes to a new file."""
        with self._lock:
            self.is_closed = True
            if self._fd is not None:
                os.close(self._fd)
            self._fd = self._path = None
            self._waiting.clear()
            self._items.clear()

    def _remove(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        if self._fd is not None:
            os.close(self._fd)
        self._fd = self._path = None


def put_aside(path: Path, data: bytes, suffix: str = spool_files.REFUSED) -> Path:
    """Append a line to a file beside another, on the disk before it returns. Raises OSError."""
    aside = path.with_suffix(suffix)
    while True:
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            spool_files.lock(fd, wait=True)
            if not aside.exists() or not os.path.samestat(aside.stat(), os.fstat(fd)):
                continue  # somebody took it over just now
            spool_files.append(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        spool_files.sync_directory(path.parent)
        return aside


_spools: weakref.WeakSet[Spool] = weakref.WeakSet()


def _forked() -> None:
    for spool in list(_spools):
        spool.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
