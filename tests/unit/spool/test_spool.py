"""The spool of a process: kept in order, taken out in order, gone when it is empty."""

from __future__ import annotations

import multiprocessing
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from papayya_core import spool_files, spool_replay
from papayya_core.errors import StoreUnavailable
from papayya_core.spool import Spool, put_aside
from papayya_core.spool_order import in_order
from papayya_core.spool_replay import Replayer

DATABASE = "0123456789ab"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Make an empty spool."""
    return Spool(tmp_path, DATABASE)


def files(spool: Spool) -> list[Path]:
    """List the files of its home."""
    return [one.path for one in spool_files.found(spool.home)]


def numbers(spool: Spool) -> list[int]:
    """List what is in its one file."""
    [path] = files(spool)
    return [entry.params["k"] for entry in spool_files.read(path).entries]


def test_in_order(spool: Spool) -> None:
    """Entries come out as they went in, and the file goes with the last of them."""
    for k in range(3):
        assert spool.keep("settle", {"k": k}, item=k)
    assert numbers(spool) == [0, 1, 2]
    found = []
    while (entry := spool.peek()) is not None:
        found.append(entry.params["k"])
        spool.done(entry.n)
    assert found == [0, 1, 2]
    assert files(spool) == []


def test_done_is_written(spool: Spool) -> None:
    """Whoever reads the file after a crash finds what is done and what is not."""
    for k in range(3):
        spool.keep("settle", {"k": k}, item=1)
    first = spool.peek()
    assert first is not None
    spool.done(first.n)
    spool.done(first.n)
    assert numbers(spool) == [1, 2]


def test_behind(spool: Spool) -> None:
    """An item is behind until the last of its entries is done; others are not."""
    spool.keep("hold", {}, item=1)
    spool.keep("settle", {}, item=1)
    assert (spool.is_behind(1), spool.is_behind(2)) == (True, False)
    with pytest.raises(StoreUnavailable, match="papayya spool"):
        in_order(spool, 1, 0.0)
    in_order(spool, 2, 0.0)
    for n in (1, 2):
        assert spool.is_behind(1)
        spool.done(n)
    assert not spool.is_behind(1)
    in_order(spool, 1, 0.0)


def test_first(spool: Spool) -> None:
    """The first entry after none says so, that somebody may replay it; the next ones do not."""
    called = []
    spool.on_first = lambda: called.append(len(spool))
    for _ in range(2):
        spool.keep("settle", {}, item=1)
    assert called == [1]
    spool.done(1)
    spool.done(2)
    spool.keep("settle", {}, item=1)
    assert called == [1, 1]


def test_threads(spool: Spool) -> None:
    """Entries of threads do not mix."""
    threads = [
        threading.Thread(target=lambda: [spool.keep("settle", {"k": 1}, 1) for _ in range(20)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [path] = files(spool)
    found = spool_files.read(path)
    assert (len(found.entries), found.damaged) == (160, ())


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow beyond a size: what is more is not written, as on a full disk."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def test_full_disk(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    """What does not fit on the disk is not kept, leaves nothing behind, and is logged with a way out."""
    spool.keep("settle", {"k": 0}, item=1)
    [path] = files(spool)
    with files_of_at_most(path.stat().st_size + 40):
        assert not spool.keep("settle", {"k": 1}, item=2)
    assert not spool.is_behind(2)
    assert spool.keep("settle", {"k": 2}, item=3)
    assert numbers(spool) == [0, 2]
    assert "make room" in caplog.text


def test_no_directory_can_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A home that cannot have a spool keeps nothing, and says so."""
    (tmp_path / "file").touch()
    assert not Spool(tmp_path / "file", DATABASE).keep("settle", {}, item=1)
    assert "cannot keep" in caplog.text


def test_fork(spool: Spool) -> None:
    """A child has a file of its own and leaves its parent's alone."""
    spool.keep("settle", {"k": 0}, item=1)
    [parents] = files(spool)
    child = multiprocessing.get_context("fork").Process(target=_in_child, args=(spool, parents))
    child.start()
    child.join()
    assert child.exitcode == 0
    [path] = [path for path in files(spool) if path != parents]
    assert [entry.params["k"] for entry in spool_files.read(path).entries] == [1]
    assert spool.is_behind(1)


def _in_child(spool: Spool, parents: Path) -> None:
    assert not spool.is_behind(1)
    spool.keep("settle", {"k": 1}, item=2)
    [mine] = [one for one in spool_files.found(spool.home) if one.path != parents]
    assert f"/{os.getpid()}/" in mine.owner


def test_close(spool: Spool) -> None:
    """After its end a spool's file is free for whoever comes next, and what comes late has another."""
    spool.keep("settle", {"k": 0}, item=1)
    [one] = spool_files.found(spool.home)
    spool.close()
    claimed = spool_files.claim(one)
    assert claimed is not None
    assert not spool.is_behind(1)
    assert spool.keep("settle", {"k": 1}, item=1)
    assert len(files(spool)) == 2
    os.close(claimed[1])


def test_put_aside(spool: Spool) -> None:
    """What is refused is kept whole beside the file."""
    spool.keep("settle", {"k": 0}, item=1)
    entry = spool.peek()
    assert entry is not None
    path = spool.refuse(entry)
    put_aside(path, spool_files.line(spool_files.document_of(entry)))
    assert spool_files.read(path).entries == (entry,)
    assert path.suffix == ".refused"


def test_put_aside_on_a_full_disk(spool: Spool) -> None:
    """What was refused and does not fit on the disk is not put aside: it stays, and fits later."""
    spool.keep("settle", {"k": 0}, item=1)
    entry = spool.peek()
    assert entry is not None
    with files_of_at_most(40), pytest.raises(OSError, match="too large"):
        spool.refuse(entry)
    found = spool_files.read(spool.refuse(entry))
    assert (found.entries, found.damaged) == ((entry,), ())


def test_no_thread(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be begun any more, as at the exit of a process, it is kept all the same."""

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    spool.on_first = Replayer(spool, "").start
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert spool.keep("settle", {"k": 0}, item=1)
    assert numbers(spool) == [0]


@pytest.mark.parametrize(
    ("error", "is_its_fault"),
    [
        (psycopg.errors.DiskFull, False),
        (psycopg.errors.TooManyConnections, False),
        (psycopg.errors.IoError, False),
        (psycopg.errors.AdminShutdown, False),
        (psycopg.errors.LockNotAvailable, True),
    ],
)
def test_whose_fault(error: type[psycopg.Error], is_its_fault: bool) -> None:
    """A server that has no room, or is ill, says nothing against what is being replayed."""
    assert spool_replay.is_its_fault(error()) is is_its_fault
