"""Deep values under a deep stack."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def on_any_stack(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do the work; if the caller's stack leaves too little room, once more on an empty one.

    So what can be kept does not depend on where the caller stands.
    """
    try:
        return work(*args, **kwargs)
    except RecursionError:
        pass
    with ThreadPoolExecutor(max_workers=1) as fresh:
        return fresh.submit(work, *args, **kwargs).result()
