"""What plain Python tells the person in the terminal: on stderr, so that pipes stay clean."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Write one line to stderr, if there is one."""
    if sys.stderr is not None:
        sys.stderr.write(f"papayya: {line}\n")
        sys.stderr.flush()
