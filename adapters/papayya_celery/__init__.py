"""Papayya on Celery: one line on the app you have.

    papayya_celery.install(app, tenant="customer_id", item="doc_id")

Every matched task becomes an item with steps, an outcome and a cost; call sites stay as they are.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from papayya_celery.bulk import submit
    from papayya_celery.installing import install
    from papayya_celery.naming import Message

__all__ = ["Message", "install", "submit"]

_PLACES = {"Message": "naming", "install": "installing", "submit": "bulk"}


def __getattr__(name: str) -> Any:
    """Import Celery when it is asked for: every process loads the plugin beside this."""
    if name not in _PLACES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    found = getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = found
    return found
