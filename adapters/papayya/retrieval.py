"""Where ``run.retrieve`` looks: the function the user registered, or what earlier runs made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from papayya_core import codec
from papayya_core.runtime import runtime
from papayya_core.store import rows

F = TypeVar("F", bound=Callable[..., Any])
_retriever: list[Callable[..., Any]] = []


def retriever(fn: F) -> F:
    """Make ``fn(id)`` what ``run.retrieve(id)`` calls: ``@papayya.retriever``."""
    _retriever[:] = [fn]
    return fn


def current() -> Callable[..., Any] | None:
    """Return the registered retriever."""
    return _retriever[0] if _retriever else None


def remembered(item_id: int, key: object) -> Any:
    """Return the newest output stored under a key for the item's tenant, or None."""
    here = runtime()
    if here.settings.mode == "off":
        return None
    found = here.engine().store.fetch("retrieve", {"item": item_id, "key": str(key)})
    return codec.decode(rows.unpack(*found[0]), here.plugins.encoders) if found else None
