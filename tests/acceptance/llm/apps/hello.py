"""A Celery app whose tasks are the programs of frameworks: each fails after its calls, once."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from celery import Celery, Task

import papayya_celery

sys.path.insert(0, str(Path(__file__).parents[1] / "programs"))
NAMES = filter(None, os.environ.get("HELLO_PROGRAMS", "").split(","))
PROGRAMS = {name: importlib.import_module(f"{name}_hello") for name in NAMES}

app = Celery("hello", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])
papayya_celery.install(app, item="name")


class Failed(RuntimeError):
    """It has nothing to do with what the models said."""


@app.task(bind=True, autoretry_for=(Failed,), default_retry_delay=0, shared=False)
def hello(self: Task[Any, Any], name: str, topic: str) -> Any:
    """Do what a program does; the first time, note it and fail."""
    said = PROGRAMS[name].hello(topic)
    if self.request.retries == 0:
        Path(os.environ["HELLO_FOLDER"], name).write_text(json.dumps(said), encoding="utf-8")
        raise Failed("after its calls")
    return said
