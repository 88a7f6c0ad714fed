"""
The ledger: what the stand-in processed and billed, written down before it is answered.

The file is JSON Lines, only ever appended to, one write per line. A line with an `id` is a
request; a line with `delivery_of` says, later, whether the answer to that request was handed to
the operating system in full (`delivered`: true or false, null while unknown, as after a kill).
A torn line is skipped: its request was never answered. Fields of a request:

id, time            1, 2, 3, … for ever; UTC
key                 the API key's last six characters and a hash (`key_label`)
path, model         as asked for
body_sha256         of the body as sent; of path and body where the path names the model
attempt, ordinal    how often this body was received, and how often it was processed and billed
prompt_tokens       of which cached_tokens and cache_write_tokens
output_tokens       of which reasoning_tokens; all of them billed, whether delivered or not
cost_nusd           nano-dollars (see `prices`); price_known is false at the default price
status              the HTTP status; null if nothing was answered (faults timeout and reset)
fault, rule         what went wrong on purpose, and what asked for it
refused             the unit (see `limits`) of the rate limit that turned it down
response_id         of the answer; null for errors, and where answers have none (embeddings,
                    Converse): the request id that is sent is always req_ and the entry's id
stream              whether a stream was asked for
item_key, idempotency_key, user, metadata   as the client gave them
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from papayya_core.fake_provider.book import Book, Entry

LOCK_PATIENCE_S = 2.0
_LOCK_PAUSE_S = 0.02


class LedgerError(Exception):
    """The ledger can't be used; the message says why and what to do."""


class Ledger:
    """
    The ledger of a running stand-in, safe for threads.

    Without a path it is kept in memory only. With `fsync`, a request's line is on the disk
    before it is answered; otherwise it is in the operating system's hands, which is enough for
    any death of the process.
    """

    def __init__(self, path: Path | None, *, fsync: bool = False) -> None:
        self.path = path
        self.book = Book()
        self._fsync = fsync
        self._lock = Lock()
        self._torn = False
        self._file = -1 if path is None else self._open(path)

    def _open(self, path: Path) -> int:
        """Open, lock and read the file; an earlier life's torn last line is ended."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as wrong:
            raise LedgerError(f"Can't open {path} ({wrong}): give another --ledger.") from wrong
        _only_writer(file, path)
        with path.open("rb") as lines:
            self.book.load(lines)
        size = os.fstat(file).st_size
        self._torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
        return file

    def append(self, draft: Entry) -> Entry:
        """Write a request down, give it its number, and return it."""
        with self._lock:
            entry = replace(draft, id=self.book.last_id + 1)
            row = entry.row()
            del row["delivered"]
            self._write(row)
            self.book.add(entry)
        return entry

    def close(self) -> None:
        """Let go of the file, for another process to use."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def sync(self) -> None:
        """Bring what was written to the disk, if that was asked for."""
        if self._fsync and self._file >= 0:
            os.fsync(self._file)

    def deliver(self, number: int, *, delivered: bool) -> None:
        """Write down whether an answer was delivered."""
        with self._lock:
            self._write({"delivery_of": number, "delivered": delivered})
            self.book.deliver(number, delivered=delivered)

    def entries(self, after: int = 0) -> list[Entry]:
        """List the requests after a number."""
        with self._lock:
            return self.book.after(after)

    def _write(self, row: dict[str, Any]) -> None:
        """Append one line in one write."""
        if self._file < 0:
            return
        start = b"\n" if self._torn else b""
        line = start + json.dumps(row, separators=(",", ":")).encode() + b"\n"
        self._torn = True
        if os.write(self._file, line) != len(line):
            raise LedgerError(f"{self.path} took only a part of a line: is the disk full?")
        self._torn = False


def _only_writer(file: int, path: Path) -> None:
    """Lock the file for this process; a killed predecessor's lock is waited for."""
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                message = (
                    f"{path} is in use by another stand-in: stop it, or give another --ledger."
                )
                raise LedgerError(message) from None
            time.sleep(_LOCK_PAUSE_S)
        else:
            return
