"""Celery gives the tasks of a module to every app that is made later, also to the module's next one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import celery.app.builtins  # noqa: F401 - they are every app's, wherever they are loaded first
from celery import _state

from papayya_celery import apps


@contextmanager
def forgotten_tasks() -> Iterator[None]:
    """Forget, at the end of the block, the tasks that were defined in it, and its installations."""
    before = set(_state._on_app_finalizers)  # type: ignore[attr-defined]
    installed = {inst.number for inst in apps.every()}
    try:
        yield
    finally:
        _state._on_app_finalizers &= before  # type: ignore[attr-defined]
        for inst in apps.every():
            if inst.number not in installed:
                apps.forget(inst.app)
