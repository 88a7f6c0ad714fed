"""Write the sync twin of every `*_async.py`: same module, no coroutines.

`store_async.py` becomes `store.py` beside it: `async` and `await` go, `AsyncX` becomes `X`,
`name_async` becomes `name`, `Awaitable[T]` becomes `T`, the module `aio` becomes `sync`. What
differs in more than words belongs in those two, written by hand with the same names. `--check`
writes nothing and exits 1 when a twin is stale.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE_ROOTS = ("papayya_core", "adapters", "interceptors")
SUFFIX = "_async"
HEADER = "# Generated from {source} by tools/unasync.py: do not edit, run `make generate`."
MARK = HEADER.split("{", maxsplit=1)[0]

NAMES = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "aclose": "close",
    "aclosing": "closing",
    "aio": "sync",
    "aiter": "iter",
    "aiter_raw": "iter_raw",
    "anext": "next",
    "aread": "read",
    "AsyncByteStream": "SyncByteStream",
    "async_engine": "engine",
    "asynccontextmanager": "contextmanager",
    "StopAsyncIteration": "StopIteration",
}
DROPPED = {"async", "await"}
REFUSED = {"anyio", "asyncio"}
ASYNC_CLASS = re.compile(r"\b(_*)Async(?=[A-Z])")
FSTRING_START = getattr(tokenize, "FSTRING_START", -1)
FSTRING_END = getattr(tokenize, "FSTRING_END", -1)
TEXT = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", -1)}

Edit = tuple[int, int, int, str]  # line, first column, column after the last, new text


class NoTwinError(Exception):
    """The source holds something that has no word-for-word sync twin."""


def convert(text: str) -> str:
    """Return the sync twin of `text`. Raises NoTwinError with the line at fault."""
    lines = text.splitlines(keepends=True)
    for line, start, end, new in sorted(_edits(text), reverse=True):
        whole = lines[line - 1]
        lines[line - 1] = whole[:start] + new + whole[end:]
    return "".join(lines)


def _edits(text: str) -> Iterator[Edit]:
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    inside = 0  # of how many f-strings
    for index, (token, following) in enumerate(pairwise(tokens)):
        inside += (token.type == FSTRING_START) - (token.type == FSTRING_END)
        _refuse(token, in_text=inside > 0)
        if token.type == tokenize.NAME and token.string in DROPPED:
            yield token.start[0], token.start[1], following.start[1], ""
        elif token.string == "Awaitable" and following.string == "[":
            yield token.start[0], token.start[1], following.end[1], ""
            closing = _closing(tokens[index + 1 :])
            yield closing.start[0], closing.start[1], closing.end[1], ""
        elif token.type == tokenize.NAME and not inside:
            yield from _replaced(token, _sync_name(token.string))
        elif token.type == tokenize.NAME or token.type in TEXT:
            yield from _replaced(token, ASYNC_CLASS.sub(r"\1", token.string))


def _closing(tokens: list[tokenize.TokenInfo]) -> tokenize.TokenInfo:
    depth = 0
    for token in tokens:
        depth += {"[": 1, "]": -1}.get(token.string, 0)
        if depth == 0:
            return token
    raise AssertionError("tokenize would have complained of the open bracket")


def _replaced(token: tokenize.TokenInfo, new: str) -> Iterator[Edit]:
    old_lines, new_lines = token.string.split("\n"), new.split("\n")
    for offset, (old, line) in enumerate(zip(old_lines, new_lines, strict=True)):
        if old != line:
            start = 0 if offset else token.start[1]
            yield token.start[0] + offset, start, start + len(old), line


def _sync_name(name: str) -> str:
    if name in NAMES:
        return NAMES[name]
    return ASYNC_CLASS.sub(r"\1", name.removesuffix(SUFFIX) or name)


def _refuse(token: tokenize.TokenInfo, *, in_text: bool) -> None:
    where = f"line {token.start[0]}: {token.line.strip()}"
    if token.type == tokenize.NAME and token.string in REFUSED:
        raise NoTwinError(f"{token.string} has no twin, move it to papayya_core/aio.py; {where}")
    is_f = token.type == tokenize.STRING and "f" in token.string.partition(token.string[-1])[0]
    if (in_text and token.string in DROPPED) or (is_f and re.search(r"\bawait\b", token.string)):
        raise NoTwinError(f"await inside an f-string, assign it to a name first; {where}")


def sources(root: Path) -> list[Path]:
    """Find every module that has a twin."""
    return sorted(path for top in SOURCE_ROOTS for path in (root / top).rglob(f"*{SUFFIX}.py"))


def twin_of(source: Path) -> Path:
    """Name the generated module."""
    return source.with_name(source.name.removesuffix(f"{SUFFIX}.py") + ".py")


def render(root: Path, source: Path) -> str:
    """Return the text of the twin, formatted as the project is."""
    header = HEADER.format(source=source.relative_to(root).as_posix())
    try:
        text = f"{header}\n{convert(source.read_text(encoding='utf-8'))}"
    except NoTwinError as exc:
        raise SystemExit(f"{source.relative_to(root)}: {exc}") from None
    twin = str(twin_of(source))
    text = _ruff(root, text, "check", "--quiet", "--fix-only", "--select=I001,F401", twin)
    return _ruff(root, text, "format", "--quiet", twin)


def _ruff(root: Path, text: str, *arguments: str) -> str:
    *options, name = arguments
    command = [sys.executable, "-m", "ruff", *options, "--stdin-filename", name, "-"]
    done = subprocess.run(
        command, input=text, cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"ruff does not accept the twin {name}:\n{done.stderr}")
    return done.stdout


def orphans(root: Path) -> list[Path]:
    """Find generated modules whose source is gone."""
    twins = {twin_of(source) for source in sources(root)}
    found = (path for top in SOURCE_ROOTS for path in (root / top).rglob("*.py"))
    return [path for path in found if path not in twins and _is_generated(path)]


def _is_generated(path: Path) -> bool:
    with path.open(encoding="utf-8") as file:
        return file.readline().startswith(MARK)


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Write the twins, or with `--check` list those that are stale."""
    stale = orphans(root)
    for source in sources(root):
        twin, text = twin_of(source), render(root, source)
        if twin.exists() and not _is_generated(twin):
            raise SystemExit(f"{twin.relative_to(root)} is written by hand; move it away first")
        if not twin.exists() or twin.read_text(encoding="utf-8") != text:
            stale.append(twin)
            if "--check" not in arguments:
                twin.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{'stale' if '--check' in arguments else 'written'}: {path.relative_to(root)}")
    if "--check" in arguments:
        return bool(stale)
    for path in orphans(root):
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
