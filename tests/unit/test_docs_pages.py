"""What the pages say of the command line, the settings and one another is so."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from papayya_core import settings
from papayya_core.cli.main import cli
from papayya_core.fake_provider.__main__ import _parser
from tests.unit.docs_pages import PAGES, ROOT, Command, commands, prose

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
OF_TESTS = {"PAPAYYA_TEST"} | {
    f"PAPAYYA_TEST_{name}" for name in ("DATABASE_URL", "PG15_BIN", "REDIS_BIN", "RABBITMQ_BIN")
}


@pytest.mark.parametrize("name", NAMES)
def test_commands_exist(name: str) -> None:
    """Every `papayya` command of a page is accepted by the command line, options and all."""
    for command in commands(ROOT / name):
        _, words = command.words()
        if words[:1] == ["papayya"]:
            accept(words[1:])


def accept(words: list[str]) -> None:
    """Parse a command without running it; raises UsageError."""
    words = words[: next((i for i, word in enumerate(words) if word in (">", "|")), None)]
    root = click.Context(cli, info_name="papayya", resilient_parsing=True)
    if words[:1] == ["fake-provider"]:
        _parser().parse_args(words[1:])
    elif words and not words[0].startswith("-"):
        found = cli.get_command(root, words[0])
        assert found is not None, f"papayya {words[0]} does not exist"
        if not {"--help", "-h"} & set(words):
            found.make_context(words[0], words[1:], parent=click.Context(cli))


@pytest.mark.parametrize("name", NAMES)
def test_make_targets_exist(name: str) -> None:
    """Every `make` command of a page has a target."""
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for command in commands(ROOT / name):
        _, words = command.words()
        if words[:1] == ["make"]:
            assert {word for word in words[1:] if "=" not in word} <= targets, command.line


@pytest.mark.parametrize("name", NAMES)
def test_variables_exist(name: str) -> None:
    """Every PAPAYYA_… variable that a page names is a setting, or one of the tests."""
    known = {row.env for row in settings.variables()} | OF_TESTS
    found = set(re.findall(r"\bPAPAYYA_[A-Z0-9_]*[A-Z0-9]", (ROOT / name).read_text("utf-8")))
    assert found <= known


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    """Every link within the project leads to a file and a heading that exist."""
    page = ROOT / name
    for target in LINK.findall(prose(page)):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{name}: {target}"
        assert not anchor or anchor in anchors(there), f"{name}: {target}"


def anchors(page: Path) -> set[str]:
    """Name a page's headings as GitHub links to them."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_decisions_are_numbered() -> None:
    """Decisions are numbered without gaps, and each begins with its number and title."""
    found = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    for number, page in enumerate(found, start=1):
        assert page.name.startswith(f"{number:04}-")
        assert page.read_text(encoding="utf-8").startswith(f"# {number}. ")


def test_command_words() -> None:
    """Variables, comments and promised exit codes are told apart from a command's words."""
    one = Command("PAPAYYA_RUN_ID=a papayya audit a # exits 1")
    assert one.words() == ({"PAPAYYA_RUN_ID": "a"}, ["papayya", "audit", "a"])
    assert (one.code, one.is_sketch) == (1, False)
    assert Command("papayya audit RUN").is_sketch
