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
        self._resting: dict[str, deque[T]] = {}
        self._mutex = threading.Lock()

    def put(self, tenant: str, value: T, *, first: bool = False) -> None:
        """Add a value; ``first``: it has had its turn, and comes before all that have not."""
        with self._mutex:
            if first:
                self._first.append(value)
            elif tenant in self._resting:
                self._resting[tenant].append(value)
            else:
                self._lines.setdefault(tenant, deque()).append(value)

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

    def rest(self, tenant: str) -> None:
        """Let a tenant's line stand, until it is told to go on; what had its turn still comes."""
        with self._mutex:
            if tenant not in self._resting:
                self._resting[tenant] = self._lines.pop(tenant, deque())

    def go_on(self, tenant: str) -> int:
        """Let a tenant have turns again; return how many values stood."""
        with self._mutex:
            line = self._resting.pop(tenant, None)
            if not line:
                return 0
            self._lines[tenant] = line
            return len(line)

    def standing(self) -> int:
        """Count what cannot be taken, because its line stands."""
        with self._mutex:
            return sum(map(len, self._resting.values()))

    def __len__(self) -> int:
        """Count what can be taken now."""
        with self._mutex:
            return len(self._first) + sum(map(len, self._lines.values()))
