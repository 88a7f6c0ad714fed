"""The generator of the sync twins."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import unasync

WORDS = {
    "async def f(self): return await g(await h())": "def f(self): return g(h())",
    "async with a() as x, b(): pass": "with a() as x, b(): pass",
    "[x async for x in await y]": "[x for x in y]",
    "class AsyncStore(_AsyncBase): pass": "class Store(_Base): pass",
    "from x.store_async import AsyncStore": "from x.store import Store",
    "from papayya_core import aio": "from papayya_core import sync",
    "await aio.sleep(1)": "sync.sleep(1)",
    "def f() -> AsyncIterator[int]: ...": "def f() -> Iterator[int]: ...",
    "f: Callable[[int], Awaitable[list[int]]]": "f: Callable[[int], list[int]]",
    "@asynccontextmanager": "@contextmanager",
    "await it.__anext__()": "it.__next__()",
    "async for c in r.aiter_raw(): await r.aread()": "for c in r.iter_raw(): r.read()",
    "class Tee(AsyncTee, lib.AsyncByteStream): pass": "class Tee(Tee, lib.SyncByteStream): pass",
    "except StopAsyncIteration: await x.aclose()": "except StopIteration: x.close()",
    '__all__ = ["AsyncStore"]  # as AsyncStore': '__all__ = ["Store"]  # as Store',
    "x = 'async and await stay in text'": "x = 'async and await stay in text'",
    "asynchronous = awaited = Asynchron": "asynchronous = awaited = Asynchron",
    "é = 'ü'; await f('ä')": "é = 'ü'; f('ä')",
}


@pytest.mark.parametrize("source", WORDS)
def test_words(source: str) -> None:
    """Each construct becomes its sync form, and text stays text."""
    body = "async def _(self):\n    " if not source.startswith(("class", "@", "from")) else ""
    tail = "\ndef _(): ..." if source.startswith("@") else ""
    expected = body.removeprefix("async ") + WORDS[source] + tail
    assert unasync.convert(body + source + tail) == expected


def test_text_over_lines() -> None:
    """A docstring over several lines keeps its lines and loses only the prefix."""
    source = '"""The AsyncStore\n\nand its AsyncPool.\n"""\n'
    assert unasync.convert(source) == '"""The Store\n\nand its Pool.\n"""\n'


@pytest.mark.parametrize("line", ["asyncio.sleep(1)", "f'{await x}'", "anyio.run(f)"])
def test_refused(line: str) -> None:
    """What has no twin is refused with its line, instead of being generated wrong."""
    with pytest.raises(unasync.NoTwinError, match="line 2"):
        unasync.convert(f"async def f():\n    {line}\n")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one async module."""
    source = tmp_path / "papayya_core" / "deep" / "store_async.py"
    source.parent.mkdir(parents=True)
    source.write_text("async def read( x ):\n    return await x\n", encoding="utf-8")
    return tmp_path


def test_generate(project: Path) -> None:
    """The twin lies beside its source, formatted, and says where it is from."""
    assert unasync.main([], project) == 0
    twin = (project / "papayya_core" / "deep" / "store.py").read_text(encoding="utf-8")
    header, body = twin.split("\n", 1)
    assert "Generated from papayya_core/deep/store_async.py" in header
    assert body == "def read(x):\n    return x\n"


def test_check(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--check fails for a twin that is missing or edited, names it and writes nothing."""
    twin = project / "papayya_core" / "deep" / "store.py"
    assert unasync.main(["--check"], project) == 1
    assert "stale: papayya_core/deep/store.py" in capsys.readouterr().out
    assert not twin.exists()
    unasync.main([], project)
    assert unasync.main(["--check"], project) == 0
    twin.write_text(twin.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
    assert unasync.main(["--check"], project) == 1


def test_orphan(project: Path) -> None:
    """A twin whose source is gone is stale, and is removed."""
    unasync.main([], project)
    (project / "papayya_core" / "deep" / "store_async.py").unlink()
    assert unasync.main(["--check"], project) == 1
    unasync.main([], project)
    assert not (project / "papayya_core" / "deep" / "store.py").exists()


def test_hand_written(project: Path) -> None:
    """A module that was written by hand is never overwritten."""
    twin = project / "papayya_core" / "deep" / "store.py"
    twin.write_text("by = 'hand'\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="written by hand"):
        unasync.main([], project)
    assert twin.read_text(encoding="utf-8") == "by = 'hand'\n"
