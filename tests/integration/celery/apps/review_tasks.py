"""An app with chords whose callback, replacement or cancelled part is out of the ordinary."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery, chain

import papayya_celery

FOLDER = Path(os.environ["FOLDER"])

app = Celery("review", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])
app.conf.update(worker_prefetch_multiplier=1, result_chord_retry_interval=0.1)
papayya_celery.install(
    app, tenant="tenant", only=lambda name: not name.endswith("_bare"), pump=False
)


def note(file: str, line: str) -> None:
    """Add a line to a file, whoever else does."""
    with (FOLDER / file).open("a") as out:
        out.write(line + "\n")


def wait_for(name: str) -> None:
    """Wait until somebody touches a file."""
    while not (FOLDER / name).exists():
        time.sleep(0.005)


@app.task
def part(name: str, tenant: str | None = None) -> str:
    """Be a part of a chord."""
    return name


@app.task
def broken(name: str) -> None:
    """Be a part that fails."""
    raise ValueError(name)


@app.task
def gated(name: str, gate: str) -> str:
    """Be a part that waits for a file."""
    note("gates", gate)
    wait_for(gate)
    return name


@app.task(bind=True)
def replaced(self: Any, name: str, gate: str) -> Any:
    """Be a part that is replaced by a chain, which waits for a file."""
    raise self.replace(chain(gated.si(name, gate), after.s()))


@app.task
def after(before: str) -> str:
    """Be the end of a chain."""
    return f"{before}!"


@app.task
def gather(parts: list[str], name: str = "gathered") -> list[str]:
    """Follow from a chord."""
    note(name, str(parts))
    return parts


@app.task
def gather_bare(parts: list[str], name: str = "gathered") -> list[str]:
    """Follow from a chord without being an item."""
    note(name, str(parts))
    return parts


@app.task
def missed(*_: Any, name: str) -> None:
    """Hear of a chord that failed."""
    note(name, "missed")
