"""A queue whose tenants take turns: a large tenant's many items do not hold up a small one's few."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Values in their tenant's own order, the tenants in turn. Any thread may use it."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[T]] = {}  # in the order of their turns
        self._first: deque[T] = deque()
        self._mutex = threading.Lock()

    def put(self, tenant: str, value: T, *, first: bool = False) -> None:
        """Add a value; ``first``: it has had its turn, and comes before all that have not."""
        with self._mutex:
            line = self._first if first else self._lines.setdefault(tenant, deque())
            line.append(value)

    def take(self) -> T:
        """Take the next value. Raises LookupError when there is none."""
        with self._mutex:
            if self._first:
                return self._first.popleft()
            tenant = next(iter(self._lines), None)
            if tenant is None:
                raise LookupError("nothing is in the queue")
            line = self._lines.pop(tenant)
            value = line.popleft()
            if line:
                self._lines[tenant] = line  # behind the others
            return value
