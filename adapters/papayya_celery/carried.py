"""What a message says of itself in its header ``papayya``: its item, run, tenant and parent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from papayya_core import rules
from papayya_core.errors import InvalidKey

HEADER = "papayya"
HANDED_BACK = "handed_back"
_BIGGEST = 2**62


@dataclass(frozen=True, slots=True)
class Carried:
    """The header. ``item``: its id in Postgres, None when that has to be made on arrival.

    ``no``: the number of its envelope. ``key``: the item's key, by the caller's own word.
    """

    run: str | None = None
    tenant: str | None = None
    parent: int | None = None
    item: int | None = None
    no: int = 0
    key: str | None = None
    handed_back: bool = False

    def child(self) -> Carried:
        """Return what messages inherit that are sent from inside this one."""
        return replace(
            self, parent=self.item or self.parent, item=None, no=0, key=None, handed_back=False
        )


def read(source: Mapping[str, Any] | None) -> Carried | None:
    """Read the header; what is not well-formed in it is as if it were not there."""
    found = source.get(HEADER) if source else None
    if not isinstance(found, Mapping):
        return None
    return Carried(
        run=_name(found.get("run")),
        tenant=_name(found.get("tenant")),
        parent=_id(found.get("parent")),
        item=_id(found.get("id")),
        no=_id(found.get("no")) or 0,
        key=_name(found.get("item")),
        handed_back=found.get(HANDED_BACK) is True,
    )


def write(carried: Carried) -> dict[str, Any]:
    """Write the header; what it does not know is left out."""
    facts = {
        "run": carried.run,
        "tenant": carried.tenant,
        "parent": carried.parent,
        "id": carried.item,
        "no": carried.no or None,
        "item": carried.key,
        HANDED_BACK: carried.handed_back or None,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _name(value: object) -> str | None:
    try:
        return None if value is None else rules.check_name(value, "a name in the papayya header")
    except InvalidKey:
        return None


def _id(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value < _BIGGEST else None


def digest(task_id: str, nesting: int = 0) -> bytes:
    """Name a submission: the id of its message, and how often it was replaced by another task."""
    return hashlib.sha256(f"celery/{task_id}/{nesting or 0}".encode()).digest()
