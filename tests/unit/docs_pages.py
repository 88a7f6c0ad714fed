"""Reads the project's pages: code blocks, commands, links."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```(\w+)?[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w-]+\.\w+)$")
ASSIGNMENT = re.compile(r"[A-Z_]+=")
PROGRAMS = {"python", "papayya", "pytest"}
PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b|[<>|…]")


@dataclass(frozen=True, slots=True)
class Block:
    """One code block: its language, its text, and the page's line it begins on."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The name of the file that it shows: its first line says `# name.py`."""
        found = FILE.match(self.text.partition("\n")[0])
        return found[1] if found else None


@dataclass(slots=True)
class Command:
    """One `$ …` line of a console block, and what the page says that it prints."""

    line: str
    output: list[str] = field(default_factory=list)

    def words(self) -> tuple[dict[str, str], list[str]]:
        """Split it into variables and words; what stands behind a # is a comment."""
        words = shlex.split(self.line, comments=True)
        env: dict[str, str] = {}
        while words and ASSIGNMENT.match(words[0]):
            name, _, env[name] = words.pop(0).partition("=")
        return env, words

    @property
    def is_sketch(self) -> bool:
        """Tell whether a reader has to fill something in: RUN, <your command>, …"""
        _, words = self.words()
        return any(PLACEHOLDER.search(word) for word in words)

    @property
    def code(self) -> int:
        """The exit code that the page promises: `# exits 1`, else 0."""
        found = re.search(r"# exits (\d+)", self.line)
        return int(found[1]) if found else 0


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def blocks(page: Path) -> list[Block]:
    """List the code blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1] or "", found[2], text.count("\n", 0, found.start()) + 2)
        for found in BLOCK.finditer(text)
    ]


def commands(page: Path) -> list[Command]:
    """List the commands of a page's console blocks."""
    return [command for block in blocks(page) for command in commands_in(block)]


def commands_in(block: Block) -> list[Command]:
    """List the commands of a block, each with what it prints."""
    found: list[Command] = []
    for line in block.text.splitlines() if block.language == "console" else ():
        if line.startswith("$ "):
            found.append(Command(line.removeprefix("$ ")))
        elif found and line.strip():
            found[-1].output.append(line)
    return found


def todo(page: Path, block: Block | None = None) -> list[Command]:
    """List the commands that can be run as they stand on a page of docs/, or in one block of it."""
    if page.parent != ROOT / "docs":
        return []
    every = commands(page) if block is None else commands_in(block)
    return [one for one in every if one.words()[1][0] in PROGRAMS and not one.is_sketch]


def script(page: Path) -> str:
    """Join a page's Python that is no file of its own, each block on the lines it has there."""
    lines: list[str] = []
    for block in blocks(page):
        if block.language == "python" and block.file is None:
            lines += [""] * (block.line - 1 - len(lines))
            lines += block.text.splitlines()
    return "\n".join(lines) + "\n" if lines else ""
