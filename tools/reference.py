"""Write the parts of docs/ that follow from the code: settings, hooks, commands, public names.

A part stands between `<!-- begin: NAME -->` and `<!-- end: NAME -->`. `--check` writes nothing and
exits 1 when a part is stale.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click

import papayya
import papayya_celery
from papayya_core import hookspecs, settings
from papayya_core.cli import main as cli

DOCS = Path(__file__).resolve().parent.parent / "docs"
PART = re.compile(r"(<!-- begin: (\w+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)
WIDTH = 88
SPECIAL = {"Settings": "All settings, each with its default: see [settings](settings.md)."}
CALL = "__call__"
SHOWN = {
    "CurrentRun": "run",
    "AgentFunction": "my_agent",
    "RunHandle": "handle",
    "Papayya": "papayya()",
    "Budgets": "budget",
    "Limits": "limit",
}
WHOLE = {"CurrentRun"}  # shown with what it inherits; the others with what they add


def main(arguments: list[str]) -> int:
    """Write what is stale, or with `--check` only name it."""
    stale = {path: new for path in sorted(DOCS.glob("*.md")) if (new := renewed(path))}
    for path, text in stale.items():
        print(f"{'stale' if '--check' in arguments else 'written'}: docs/{path.name}")
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


def renewed(path: Path) -> str | None:
    """Return the text of a page with its parts as the code has them; None if nothing changes."""
    text = path.read_text(encoding="utf-8")
    new = PART.sub(lambda found: f"{found[1]}{PARTS[found[2]]()}\n{found[3]}", text)
    return None if new == text else new


def settings_table() -> str:
    """Make a table of every setting."""
    lines = ["| variable | accepts | default | |", "|---|---|---|---|"]
    for row in settings.variables():
        accepts = row.accepts.replace(" | ", " · ")
        default = "not set" if row.default is None else row.default
        lines.append(f"| `{row.env}` | {accepts} | {default} | {row.doc} |")
    return "\n".join(lines)


def hooks() -> str:
    """Describe every hook: signature, kind, contract."""
    parts = []
    for name, spec in hook_functions().items():
        kind = "decider" if vars(spec)["papayya_spec"]["firstresult"] else "observer"
        parts.append(f"### {name}\n\n{code(name, spec)}\n\n*{kind}* — {prose(spec)}")
    return "\n\n".join(parts)


def hook_functions() -> dict[str, Callable[..., Any]]:
    """Return the hook specifications by name, in their order."""
    return {name: spec for name, spec in vars(hookspecs).items() if hasattr(spec, "papayya_spec")}


def commands() -> str:
    """Print the help of the command line and of every command."""
    root = click.Context(cli.cli, info_name="papayya", terminal_width=80, resilient_parsing=True)
    parts = [f"## papayya\n\n{fenced('text', cli.cli.get_help(root))}"]
    for title, section in cli.COMMANDS.items():
        parts.append(f"## {title}")
        for name, lazy in section.items():
            parts.append(f"### papayya {name}\n\n{_help(root, name, lazy.load())}")
    return "\n\n".join(parts)


def _help(root: click.Context, name: str, command: click.Command) -> str:
    if not command.add_help_option:
        return (
            f"{command.help} They are in [operations](operations.md#a-provider-that-costs-nothing)."
        )
    context = click.Context(command, parent=root, info_name=name, terminal_width=80)
    return fenced("text", command.get_help(context))


def public_names(package: ModuleType) -> str:
    """Describe every name of a package, without its errors."""
    parts = []
    for name in sorted(package.__all__, key=lambda name: (name[0].isupper(), name)):
        thing = getattr(package, name)
        if not (isinstance(thing, type) and issubclass(thing, BaseException)):
            parts.append(f"### {name}\n\n{_described(name, thing)}")
    return "\n\n".join(parts)


def _described(name: str, thing: Any) -> str:
    if name in SPECIAL:
        return SPECIAL[name]
    if inspect.isfunction(thing):
        return f"{code(name, thing)}\n\n{prose(thing)}"
    if not isinstance(thing, type):
        ours = type(thing).__module__.startswith("papayya")
        of = f", a [{type(thing).__name__}](#{type(thing).__name__.lower()})"
        return f"{_module_note(name, thing)}{of if ours else ''}."
    if fields := _fields(thing):
        return f"{prose(thing)}\n\n{fenced('text', fields)}"
    return "\n\n".join([prose(thing), *_methods(name, thing)])


def _module_note(name: str, thing: Any) -> str:
    notes = {
        "hookimpl": "Marks a function as the implementation of a [hook](hooks.md)",
        "run": "The current run and item, wherever code asks for it",
        "budget": "Caps on what is spent, see [budgets](budgets.md)",
        "limit": "Requests and tokens per minute, see [limits](limits.md)",
    }
    return notes.get(name, prose(thing))


def _fields(cls: type) -> str:
    if dataclasses.is_dataclass(cls):
        return "\n".join(f"{field.name}: {field.type}" for field in dataclasses.fields(cls))
    if hasattr(cls, "_fields"):
        return "\n".join(f"{name}: {_annotation(cls, name)}" for name in cls._fields)
    return ""


def _annotation(cls: type, name: str) -> str:
    found = inspect.get_annotations(cls)[name]
    return str(getattr(found, "__forward_arg__", found))


def _methods(owner: str, cls: type) -> Iterator[str]:
    bases = [cls, *(base for base in cls.__mro__[1:-1] if owner in WHOLE)]
    shown = SHOWN.get(owner, owner.lower())
    for name, member in {n: it for base in reversed(bases) for n, it in vars(base).items()}.items():
        if (name.startswith("_") and name != CALL) or not inspect.getdoc(member):
            continue
        if isinstance(member, property):
            yield f"`{shown}.{name}` — {prose(member)}"
        elif inspect.isfunction(member):
            called = shown if name == CALL else f"{shown}.{name}"
            yield f"{code(called, member)}\n\n{prose(member)}"


def prose(thing: object) -> str:
    """Return a docstring as Markdown."""
    return (inspect.getdoc(thing) or "").replace("``", "`")


def code(name: str, function: Callable[..., Any]) -> str:
    """Show a signature, on several lines when it is long."""
    signature = inspect.signature(function)
    shown = [each for each in _parameters(signature) if each != "self"]
    answer = signature.return_annotation
    end = "" if answer is inspect.Signature.empty else f" -> {answer}"
    line = f"{name}({', '.join(shown)}){end}"
    if len(line) > WIDTH:
        inner = "".join(f"    {each},\n" for each in shown)
        line = f"{name}(\n{inner}){end}"
    return fenced("text", line)


def _parameters(signature: inspect.Signature) -> Iterator[str]:
    kinds = inspect.Parameter
    before = None
    for each in signature.parameters.values():
        if before is kinds.POSITIONAL_ONLY and each.kind is not kinds.POSITIONAL_ONLY:
            yield "/"
        if each.kind is kinds.KEYWORD_ONLY and before not in (
            kinds.KEYWORD_ONLY,
            kinds.VAR_POSITIONAL,
        ):
            yield "*"
        before = each.kind
        yield str(each).replace("'", "") if each.default is each.empty else _with_default(each)
    if before is kinds.POSITIONAL_ONLY:
        yield "/"


def _with_default(parameter: inspect.Parameter) -> str:
    return f"{parameter.name}: {parameter.annotation} = {parameter.default!r}"


def fenced(language: str, text: str) -> str:
    """Put text in a code block."""
    return f"```{language}\n{text.rstrip()}\n```"


PARTS: dict[str, Callable[[], str]] = {
    "settings": settings_table,
    "hooks": hooks,
    "commands": commands,
    "names": lambda: public_names(papayya),
    "celery": lambda: public_names(papayya_celery),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
