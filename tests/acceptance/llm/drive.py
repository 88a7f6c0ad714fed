"""Run a program of a framework inside an agent: drive.py PROGRAM TOPIC [--die].

Prints what the program returns, as JSON; with --die the process is killed then, before the item
has ended.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from papayya import agent

sys.path.insert(0, str(Path(__file__).parent / "programs"))
name, topic, *how = sys.argv[1:]
program = importlib.import_module(f"{name}_hello")


@agent(name=name)
def ask(about: str) -> Any:
    """Do what the program does."""
    said = program.hello(about)
    sys.stdout.write(f"{json.dumps(said)}\n")
    sys.stdout.flush()
    if how == ["--die"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return said


ask(topic)
