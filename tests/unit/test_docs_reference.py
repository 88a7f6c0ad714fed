"""The reference is complete: nothing public is without a word in docs/."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from typing import Any

import pytest

import papayya
import papayya_celery
import papayya_core
from papayya_core import settings
from papayya_core.cli.main import COMMANDS
from papayya_core.errors import PapayyaError, Signal
from papayya_core.fake_provider.__main__ import _parser
from tests.unit.docs_pages import ROOT
from tools import reference

DOCS = ROOT / "docs"


def heads(page: str) -> set[str]:
    """Name the headings of a page of docs/."""
    return set(re.findall(r"^#+ (.+)$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_generated_parts_are_fresh(page: str) -> None:
    """What is generated from the code is as the code has it; else run tools/reference.py."""
    assert reference.renewed(DOCS / page) is None


def test_every_part_is_somewhere() -> None:
    """Each generated part stands on exactly one page."""
    texts = [path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")]
    found = [part for text in texts for _, part, _ in reference.PART.findall(text)]
    assert sorted(found) == sorted(reference.PARTS)


def test_settings() -> None:
    """Every setting is in the table."""
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert [row.env for row in settings.variables() if f"`{row.env}`" not in page] == []


def test_hooks() -> None:
    """Every hook has a heading, and says when it is called and what an exception does."""
    assert set(reference.hook_functions()) <= heads("hooks.md")
    for name, spec in reference.hook_functions().items():
        said = spec.__doc__ or ""
        assert "When:" in said, name
        assert "Returns:" in said, name
        assert "n exception" in said, name


def test_commands() -> None:
    """Every command has a heading, and the stand-in's options are all named."""
    names = {f"papayya {name}" for section in COMMANDS.values() for name in section}
    assert names <= heads("cli.md")
    page = (DOCS / "operations.md").read_text(encoding="utf-8")
    options = {word for action in _parser()._actions for word in action.option_strings}
    assert [word for word in sorted(options) if word.startswith("--") and word not in page] == [
        "--help"
    ]


def test_public_names() -> None:
    """Every public name of `papayya` and `papayya_celery` has a heading."""
    names = {*papayya.__all__, *papayya_celery.__all__}
    assert names <= heads("api.md") | heads("errors.md")


def test_errors() -> None:
    """Every error and signal has a heading, a cause and a next step."""
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    assert {cls.__name__ for cls in error_classes()} == set(
        re.findall(r"^### (\w+)$", text, re.MULTILINE)
    )
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        assert "Cause:" in part, part
        assert "Next:" in part, part


def error_classes() -> set[type[BaseException]]:
    """Find every class of errors that a caller can meet: of the core and of the adapters."""
    for package in (papayya_core, papayya):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "fake_provider" not in info.name and not info.name.endswith("__main__"):
                importlib.import_module(info.name)
    found: set[type[BaseException]] = set()
    todo: list[type[BaseException]] = [PapayyaError, Signal]
    while todo:
        cls = todo.pop()
        found.add(cls)
        todo += [each for each in cls.__subclasses__() if each.__module__.startswith("papayya")]
    return found


def test_findings() -> None:
    """Every check that the code or the schema can report is in the table of findings."""
    page = (DOCS / "findings.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == reported_checks()


def reported_checks() -> set[str]:
    """Read the names of checks from the places that make findings."""
    names = {"signal"}  # computed, not written
    roots = (ROOT / "adapters", ROOT / "interceptors")
    modules = [path for root in roots for path in root.rglob("*.py")]
    for path in [*(ROOT / "papayya_core").glob("*.py"), *modules]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names |= set(_checks_in(node)) if isinstance(node, ast.Call) else set()
            names |= (
                set(_checks_of(node)) if isinstance(node, ast.Dict | ast.FunctionDef) else set()
            )
    for path in (ROOT / "migrations").rglob("*.sql"):
        text = path.read_text(encoding="utf-8")
        names |= set(re.findall(r"PERFORM papayya.fail_v1\([^'\n]*'(\w+)'", text))
        names |= set(re.findall(r"SELECT id, p_run, '(\w+)', 'failed'", text))
    return names


def _checks_in(call: ast.Call) -> list[str]:
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    given: dict[str, list[Any]] = {
        "Finding": call.args[:1],
        "note": call.args[:1],
        "note_once": call.args[:1],
        "ItemTimedOut": call.args[1:2],
    }
    given["fail"] = [part for one in call.args[2:3] for part in ast.walk(one)]
    named = [word.value for word in call.keywords if word.arg == "check" and name == "Stored"]
    found = [*given.get(name, []), *named]
    return [str(one.value) for one in found if isinstance(one, ast.Constant)]


def _checks_of(node: ast.Dict | ast.FunctionDef) -> list[str]:
    """Read the checks that parameters of a statement name, or a function by default."""
    names: list[Any] = []
    if isinstance(node, ast.Dict):
        names, values = [getattr(key, "value", None) for key in node.keys], node.values
    else:
        values = node.args.defaults
        named = [*node.args.posonlyargs, *node.args.args]
        names = [one.arg for one in named[len(named) - len(values) :]]
    found = [value for name, value in zip(names, values, strict=True) if name == "check"]
    return [str(one.value) for one in found if isinstance(one, ast.Constant)]
