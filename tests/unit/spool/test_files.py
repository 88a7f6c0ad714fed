"""The lines and files of a spool: what is whole is read, what is torn is not, one process claims."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papayya_core import owner, spool_files
from papayya_core.spool_files import Entry

DATABASE = "0123456789ab"
PARAMS: dict[str, Any] = {
    "call": 2**62,
    "body": bytes(range(256)),
    "none": None,
    "tools": ["a", "\u2028", "\ud800"],
    "seconds": 0.1,
    "yes": True,
}
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.binary()
    | st.floats(allow_nan=False),
    st.lists,
    max_leaves=5,
)


def entry(n: int) -> Entry:
    """Make an entry."""
    return Entry(n=n, name="settle", item=7, params=PARAMS, at=1.5)


def spooled(home: Path, *documents: dict[str, Any], name: str | None = None) -> Path:
    """Write a file as a process would, and let go of it."""
    name = name or spool_files.new_name(DATABASE, owner.owner())
    fd = spool_files.create(home, name)
    for document in documents:
        spool_files.write(fd, document)
    os.close(fd)
    return spool_files.directory(home) / name


def entries(*numbers: int) -> list[dict[str, Any]]:
    """Write down entries."""
    return [spool_files.document_of(entry(n)) for n in numbers]


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(), values))
def test_line_round_trip(params: dict[str, Any]) -> None:
    """A line gives back the parameters exactly, bytes and integers of any size."""
    line = spool_files.line({"params": params})
    assert spool_files.parse(line) == {"params": params}
    assert line.count(b"\n") == 1


def test_line_refuses() -> None:
    """What a line cannot give back exactly is refused."""
    with pytest.raises(TypeError, match="object has no place"):
        spool_files.line({"params": object()})


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_damage_is_seen(data: st.DataObject) -> None:
    """A line with another byte in it, or without its end, is no line."""
    line = spool_files.line(spool_files.document_of(entry(1)))
    at = data.draw(st.integers(0, len(line) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[at]))
    assert spool_files.parse(line[:at] + bytes([byte]) + line[at + 1 :]) is None
    assert spool_files.parse(line[:at]) is None


def test_read(tmp_path: Path) -> None:
    """A file gives the entries that are not done, in their order."""
    path = spooled(tmp_path, *entries(1, 2, 3), {"done": 1})
    assert spool_files.read(path).entries == (entry(2), entry(3))


def test_torn_last_line(tmp_path: Path) -> None:
    """A last line that was not written to its end is left out, and is not whole."""
    path = spooled(tmp_path, *entries(1, 2))
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    found = spool_files.read(path)
    assert found.entries == (entry(1),)
    assert whole[: found.whole] + found.damaged[0] == whole[:-9]


def test_damaged_line_in_between(tmp_path: Path) -> None:
    """A damaged line does not take the lines after it along."""
    path = spooled(tmp_path, *entries(1, 2, 3))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b"settle", b"mettle") + lines[2])
    found = spool_files.read(path)
    assert [one.n for one in found.entries] == [1, 3]
    assert len(found.damaged) == 1


def test_modes(tmp_path: Path) -> None:
    """Nobody else can read a spool."""
    path = spooled(tmp_path, *entries(1))
    assert (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)


def test_database_of() -> None:
    """A database is named by its address: neither user, password nor options count."""
    name = spool_files.database_of("postgresql://me:secret@db:5432/books?application_name=x")
    assert name == spool_files.database_of("host=db port=5432 dbname=books user=you")
    assert name != spool_files.database_of("postgresql://me:secret@db:5433/books")


def test_name_tells(tmp_path: Path) -> None:
    """The name of a file tells its database and its writer."""
    path = spooled(tmp_path, *entries(1))
    assert spool_files.found(tmp_path) == [(path, DATABASE, owner.owner())]


def test_no_directory(tmp_path: Path) -> None:
    """A home that never had a spool has no files, and gets no directory by looking."""
    assert spool_files.found(tmp_path) == []
    assert not spool_files.directory(tmp_path).exists()


def test_claim_once(tmp_path: Path) -> None:
    """Of two who want a file one gets it, under a name of its own."""
    spooled(tmp_path, *entries(1))
    [one] = spool_files.found(tmp_path)
    claimed = spool_files.claim(one)
    assert claimed is not None
    assert spool_files.claim(one) is None
    [again] = spool_files.found(tmp_path)
    assert again == claimed[0]
    assert spool_files.claim(again) is None, "it is locked"
    os.close(claimed[1])


def test_claim_of_the_living(tmp_path: Path) -> None:
    """A file whose writer lives and has it open is nobody else's."""
    fd = spool_files.create(tmp_path, spool_files.new_name(DATABASE, owner.owner()))
    [one] = spool_files.found(tmp_path)
    assert spool_files.claim(one) is None
    assert spool_files.claim(one, anybody=True) is None
    os.close(fd)


def test_claim_of_the_dead(tmp_path: Path) -> None:
    """A file is free as soon as its writer was killed."""
    code = (
        "import os, sys, pathlib\n"
        "from papayya_core import owner, spool_files\n"
        f"name = spool_files.new_name({DATABASE!r}, owner.owner())\n"
        "spool_files.create(pathlib.Path(sys.argv[1]), name)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    [one] = spool_files.found(tmp_path)
    assert owner.is_dead(one.owner)
    claimed = spool_files.claim(one)
    assert claimed is not None
    assert claimed[0].owner == owner.owner()
    os.close(claimed[1])


def test_claim_of_strangers(tmp_path: Path) -> None:
    """A file of another machine is left alone unless somebody says that it may be taken."""
    stranger = "elsewhere/00000000/1/4711/99"
    spooled(tmp_path, *entries(1), name=spool_files.new_name(DATABASE, stranger))
    [one] = spool_files.found(tmp_path)
    assert spool_files.claim(one) is None
    claimed = spool_files.claim(one, anybody=True)
    assert claimed is not None
    os.close(claimed[1])


def test_claim_after_a_restart(tmp_path: Path) -> None:
    """A file of this host before it was started again is free."""
    host = owner.owner().split("/")[0]
    before = f"{host}/00000000/1/4711/99"
    spooled(tmp_path, *entries(1), name=spool_files.new_name(DATABASE, before))
    [one] = spool_files.found(tmp_path)
    claimed = spool_files.claim(one)
    assert claimed is not None
    os.close(claimed[1])


def test_directories_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a new home, and its spool, are in is brought to the disk before there is a file."""
    synced: list[Path] = []
    monkeypatch.setattr(spool_files, "sync_directory", synced.append)
    home = tmp_path / "new" / "home"
    for _ in range(2):
        os.close(spool_files.create(home, spool_files.new_name(DATABASE, owner.owner())))
    folder = spool_files.directory(home)
    assert synced == [tmp_path, tmp_path / "new", home, folder, folder]
    assert folder.stat().st_mode & 0o777 == 0o700
