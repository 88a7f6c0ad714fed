"""What ``--json`` prints: one document, or one a line. Money is exact, times are UTC."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from papayya_core.cli import show

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True, slots=True)
class AsIs:
    """A value of the user's, in JSON terms already: its fields mean nothing to us."""

    value: Any


def json_option(command: Decorated) -> Decorated:
    """Add --json."""
    option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    return option(command)


def jsonl_option(command: Decorated) -> Decorated:
    """Add --json and --jsonl."""
    option = click.option("--jsonl", is_flag=True, help="Print one JSON document a line.")
    return json_option(option(command))


def shape(value: Any) -> Any:
    """Turn rows into JSON terms; an amount ``x_nusd`` gets its ``x_usd`` beside it."""
    if isinstance(value, AsIs):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    elif isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return _object(value)
    if isinstance(value, list | tuple):
        return [shape(one) for one in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.hex() if isinstance(value, bytes) else value


def _object(value: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, part in value.items():
        shown[str(name)] = shape(part)
        if str(name).endswith("_nusd"):
            usd = f"{str(name).removesuffix('_nusd')}_usd"
            shown[usd] = None if part is None else show.exact(part)
    return shown


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Write JSON that no terminal acts on, in ASCII where stdout is not Unicode."""
    ascii_only = "utf" not in (sys.stdout.encoding or "").lower()
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, default=str)
    lines = text.split("\n")  # line breaks in values are escaped already
    return "\n".join(
        show.UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", one) for one in lines
    )


def emit(value: Any) -> None:
    """Print one document."""
    click.echo(dumps(shape(value), indent=2))


def report(as_json: bool, facts: Mapping[str, Any], *, folded: bool = False) -> None:
    """Print what an act did: its facts, or to people what they ``said``, and what is ``next``.

    ``folded``: what was said is broken between words where a terminal is narrower. Else it may hold
    a command to copy, as what is next may.
    """
    if as_json:
        emit(facts)
        return
    out, then = show.console(), facts.get("next") or ()
    out.print(show.safe(facts["said"]), soft_wrap=not folded)
    for line in (then,) if isinstance(then, str) else then:
        out.print(show.safe(line), soft_wrap=True)


def emit_line(value: Any) -> None:
    """Print one document on a line."""
    click.echo(dumps(shape(value)))


def emit_lines(values: Iterable[Any], more: str | None) -> None:
    """Print one document a line, and to stderr how to go on, if there are more."""
    for value in values:
        emit_line(value)
    if more:
        click.echo(more, err=True)


def emit_stream(head: Mapping[str, Any], name: str, values: Iterable[Any]) -> None:
    """Print one document that ends in a long array, without holding the array in memory."""
    click.echo(dumps(shape(head)).removesuffix("}") + f', "{name}": [')
    comma = ""
    for value in values:
        click.echo(comma + dumps(shape(value)), nl=False)
        comma = ",\n"
    click.echo("\n]}" if comma else "]}")
