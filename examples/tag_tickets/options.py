"""What can be asked for: the command line, and the command that goes on with a run."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path

from model import is_claude

STAND_IN = "stand-in"
KEYS = {False: "OPENAI_API_KEY", True: "ANTHROPIC_API_KEY"}


def parse(arguments: Sequence[str] | None) -> Namespace:
    """Read the command line; ``given`` holds what was really given."""
    parser = ArgumentParser(
        prog="tag_tickets.py",
        description="Tag support tickets, every one of them accounted for.",
        epilog="With OPENAI_API_KEY or ANTHROPIC_API_KEY set, it asks (and pays) that provider;"
        " --provider stand-in asks a local stand-in, which costs nothing.",
    )
    add = parser.add_argument
    add("--tickets", type=Path, metavar="FILE", help="a .csv or .jsonl file (default: generated)")
    add("--run-id", type=_run_id, metavar="ID", help="the run to go on with (or PAPAYYA_RUN_ID)")
    add("--n", type=_positive, help="how many tickets (default: 1000, or the whole file)")
    add("--concurrency", type=_positive, default=16, help="how many at a time (default: 16)")
    add("--model", type=_model, help="default: gpt-5.4-mini, or one that fits your key")
    add("--provider", metavar="URL", help=f"whom to ask: a base URL, or {STAND_IN}")
    add("--seed", type=int, default=0, help="of the generated tickets and the stand-in")
    options = parser.parse_args(arguments)
    options.given = {
        name: value
        for name, value in vars(options).items()
        if name != "run_id" and value != parser.get_default(name)
    }
    named = os.environ.get("PAPAYYA_RUN_ID")
    try:
        fresh = _run_id(named) if named else f"tickets-{secrets.token_hex(3)}"
    except ArgumentTypeError as error:
        parser.error(f"PAPAYYA_RUN_ID: {error}")
    options.run_id = options.run_id or fresh
    return options


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _model(text: str) -> str:
    """Accept what can be a model's name; what it costs is not ours to know."""
    if not re.fullmatch(r"[\w./:-]{1,100}", text):
        raise ArgumentTypeError(f"{text!r} is not the name of a model, like gpt-5.4-mini")
    return text


def _run_id(text: str) -> str:
    """Accept what can also name a directory."""
    if not re.fullmatch(r"\w[\w.-]{0,99}", text):
        raise ArgumentTypeError(f"{text!r} is not 1 to 100 letters, digits, dots or dashes")
    return text


def choose(options: Namespace) -> tuple[str, str]:
    """Choose model and provider; return what the header says of it, and the key to use."""
    keys = {claude: os.environ.get(name) for claude, name in KEYS.items()}
    if options.model is None:
        only_claude = options.provider is None and not keys[False] and bool(keys[True])
        options.model = "claude-haiku-4-5" if only_claude else "gpt-5.4-mini"
    key = keys[is_claude(options.model)]
    if options.provider is None:
        options.provider = STAND_IN if key is None else ""
    if options.provider == STAND_IN:
        return STAND_IN, "sk-stand-in"
    return options.provider or "your key", key or "sk-none"


def again(options: Namespace) -> str:
    """Write the command that goes on with this run."""
    given = {**options.given, "run-id": options.run_id}
    words = [f"--{name}={value}" for name, value in given.items()]
    home = os.environ.get("PAPAYYA_HOME")
    prefix = f"PAPAYYA_HOME={shlex.quote(home)} " if home else ""
    return f"{prefix}{command('python')} {shlex.join([sys.argv[0], *words])}"


def command(name: str) -> str:
    """Name a program of this environment as it can be typed here."""
    path = Path(sys.executable) if name == "python" else Path(sys.executable).with_name(name)
    return shlex.quote(os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path))
