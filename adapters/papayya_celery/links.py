"""Names for what is linked to a task: started twice after a crash, it is still one item each."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

_NAMESPACE = uuid.UUID("2b1f1f5e-8f0c-4d0a-9d59-3a9a1c0b7c55")


def name_links(request: Any) -> None:
    """Give each linked signature without a task id the one that follows from its task's.

    Celery would draw one anew each time it starts the link. Ids that were given stay.
    """
    nesting = request.replaced_task_nesting or 0
    for kind in ("callbacks", "errbacks"):
        _name_each(getattr(request, kind, None), f"{request.id}/{nesting}/{kind}")


def _name_each(signatures: Any, place: str) -> None:
    if isinstance(signatures, Iterable) and not isinstance(signatures, dict):
        for number, each in enumerate(signatures):
            _name(each, f"{place}/{number}")


def _name(signature: Any, place: str) -> None:
    if not isinstance(signature, dict):
        return
    kind, kwargs = signature.get("subtask_type"), signature.get("kwargs") or {}
    if kind == "chord":
        header = kwargs.get("header")
        _name(header, f"{place}/header")
        _name_each(header, f"{place}/header")
        _name(kwargs.get("body"), f"{place}/body")
    elif kind in ("chain", "group"):
        _name_each(kwargs.get("tasks"), f"{place}/{kind}")
    if kind not in ("chain", "chord"):  # the id of a group is that of its cohort
        options = signature.setdefault("options", {})
        if not options.get("task_id"):
            options["task_id"] = str(uuid.uuid5(_NAMESPACE, place))
