"""The spool on disk: what could not be written to Postgres, in a file per process under the home.

A file is a list of lines, appended and never changed: an entry, or the mark that one is done. Each
line carries its checksum. Its name says for which database it is, and who writes it; the writer
holds a lock on it, which the kernel lets go of when the writer dies.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from papayya_core import owner as owners

SUFFIX, REFUSED = ".spool", ".refused"
_FIELDS = frozenset({"n", "name", "item", "params", "at"})
_PARTS = 7  # of a name: the database, five of the owner, one of its own
_HEAD, _TAIL = b'{"sum":"%08x","line":', b"}\n"
_HEAD_BYTES = len(_HEAD % 0)


@dataclass(frozen=True, slots=True)
class Entry:
    """A statement by its name, with its parameters; ``at``: seconds since 1970.

    ``n``: its number in its file. ``item``: whose it is; entries of one item keep their order.
    """

    n: int
    name: str
    item: int
    params: Mapping[str, Any]
    at: float


class Contents(NamedTuple):
    """What a file holds: entries that are not done, damaged lines, and bytes that are whole."""

    entries: tuple[Entry, ...]
    damaged: tuple[bytes, ...]
    whole: int


class Found(NamedTuple):
    """A file of a spool directory, by what its name says."""

    path: Path
    database: str
    owner: str

    @property
    def is_refused(self) -> bool:
        """Tell whether it holds what Postgres would not take."""
        return self.path.suffix == REFUSED


def directory(home: Path) -> Path:
    """Say where the spool of a home is."""
    return home / "spool"


def database_of(dsn: str) -> str:
    """Name a database by its address, without user or password."""
    try:
        found = conninfo_to_dict(dsn)
    except ProgrammingError:
        found = {"dsn": dsn}
    parts = (str(found.get(name) or "") for name in ("dsn", "host", "hostaddr", "port", "dbname"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def new_name(database: str, owner: str) -> str:
    """Name a file of an owner."""
    return "~".join((database, *owner.split("/"), secrets.token_hex(4))) + SUFFIX


def found(home: Path) -> list[Found]:
    """List the files of a home, oldest first."""
    with suppress(OSError):
        paths = [Path(each) for each in os.scandir(directory(home))]
        return [one for path in sorted(paths, key=_age) if (one := _read_name(path))]
    return []


def _age(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _read_name(path: Path) -> Found | None:
    parts = path.stem.split("~")
    if path.suffix not in (SUFFIX, REFUSED) or len(parts) != _PARTS:
        return None
    return Found(path, parts[0], "/".join(parts[1:-1]))


def create(home: Path, name: str) -> int:
    """Make a file that is locked before anybody sees it. Returns its descriptor. Raises OSError."""
    folder = directory(home)
    _make(home, 0o777)
    _make(folder, 0o700)
    hidden = folder / f".{name}"
    fd = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        lock(fd)
        hidden.rename(folder / name)
        sync_directory(folder)
    except BaseException:
        os.close(fd)
        hidden.unlink(missing_ok=True)
        raise
    return fd


def _make(folder: Path, mode: int) -> None:
    """Make a directory, and what it is in, on the disk before anything in it."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        _make(folder.parent, 0o777)
    folder.mkdir(mode=mode, exist_ok=True)
    with suppress(PermissionError):  # it may be written to, and not be read
        sync_directory(folder.parent)


def sync_directory(folder: Path) -> None:
    """Bring the names of a directory to the disk."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def lock(fd: int, *, wait: bool = False) -> bool | None:
    """Take the lock of a file; False when another has it, None where there are no locks."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def claim(one: Found, *, anybody: bool = False) -> tuple[Found, int] | None:
    """Take over a file whose writer is certainly dead; None when it is not, or was not quick.

    ``anybody``: also of a writer of whom that cannot be known from here, unless it has the lock.
    Returns the file under its new name, with a descriptor that has its lock.
    """
    try:
        fd = os.open(one.path, os.O_RDWR | os.O_APPEND)
    except OSError:
        return None
    mine = owners.owner()
    path = one.path.with_name(new_name(one.database, mine)).with_suffix(one.path.suffix)
    try:
        if _is_free(one, lock(fd), mine, anybody=anybody):
            one.path.rename(path)  # fails for all who come second
            return Found(path, one.database, mine), fd
    except OSError:
        pass
    os.close(fd)
    return None


def _is_free(one: Found, locked: bool | None, mine: str, *, anybody: bool) -> bool:
    if locked is False:
        return False
    if owners.is_dead(one.owner):
        return True
    if locked is None:
        return False
    here, there = mine.split("/"), one.owner.split("/")
    return anybody or here[0] == there[0] or here[1] == there[1]  # same host, or same kernel


def write(fd: int, document: Mapping[str, Any]) -> tuple[int, int]:
    """Append a line, whole or not at all; return where it is and how long. Raises OSError."""
    return append(fd, line(document))


def append(fd: int, data: bytes) -> tuple[int, int]:
    """Append bytes, all or none; return where they are and how many. Raises OSError."""
    start = os.fstat(fd).st_size
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(fd, left) :]
    except BaseException:
        with suppress(OSError):
            os.ftruncate(fd, start)
        raise
    return start, len(data)


def line(document: Mapping[str, Any]) -> bytes:
    """Write a line with its checksum. Raises TypeError for what has no place in one."""
    text = json.dumps(document, default=_packed, separators=(",", ":")).encode()
    return _HEAD % zlib.crc32(text) + text + _TAIL


def document_of(entry: Entry) -> dict[str, Any]:
    """Turn an entry into what its line holds."""
    return {name: getattr(entry, name) for name in sorted(_FIELDS)}


def parse(data: bytes) -> dict[str, Any] | None:
    """Read a line; None when it is torn or damaged."""
    text = data[_HEAD_BYTES : -len(_TAIL)]
    if data != _HEAD % zlib.crc32(text) + text + _TAIL:
        return None
    found: dict[str, Any] = json.loads(text, object_hook=_unpacked)
    return found


def entry_of(document: Mapping[str, Any]) -> Entry:
    """Turn what a line holds into an entry."""
    return Entry(**{name: document[name] for name in _FIELDS})


def _packed(value: object) -> dict[str, str]:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} has no place in a spool")


def _unpacked(value: dict[str, Any]) -> Any:
    return b64decode(value["$bytes"]) if value.keys() == {"$bytes"} else value


def read(path: Path) -> Contents:
    """Read a file; a torn last line is not whole, and counts as damaged. Raises OSError."""
    entries: dict[int, Entry] = {}
    damaged: list[bytes] = []
    whole = 0
    with path.open("rb") as file:
        for each in file:
            document = parse(each)
            if each.endswith(b"\n"):
                whole += len(each)
            if document is None or not (document.keys() >= _FIELDS or "done" in document):
                damaged.append(each)
            elif "done" in document:
                entries.pop(document["done"], None)
            else:
                entries[document["n"]] = entry_of(document)
    return Contents(tuple(entries.values()), tuple(damaged), whole)


def listing(home: Path) -> Iterator[tuple[Found, Contents]]:
    """Read every file of a home that can be read."""
    for one in found(home):
        with suppress(OSError):
            yield one, read(one.path)
