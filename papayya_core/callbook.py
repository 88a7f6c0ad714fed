"""Which answers a dispatch has had: so that n deliberate samples stay n, and no retry becomes one."""

from __future__ import annotations

import threading


class CallBook:
    """Numbers the answers to equal requests within a step.

    The number of a request is the lowest that is neither answered nor in flight: an answer that was
    delivered uses it up, a send that failed gives it back. Thread-safe.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._taken: dict[bytes, dict[bytes, set[int]]] = {}
        self._turns: dict[bytes, int] = {}
        self._compared: set[bytes] = set()

    def take(self, scope: bytes, key: bytes) -> tuple[int, int]:
        """Number a request; say in which turn, that is in which try of the step."""
        with self._mutex:
            taken = self._taken.setdefault(scope, {}).setdefault(key, set())
            ordinal = 1
            while ordinal in taken:
                ordinal += 1
            taken.add(ordinal)
            return ordinal, self._turns.get(scope, 0)

    def free(self, scope: bytes, key: bytes, ordinal: int, turn: int) -> None:
        """Give the number of a request back that was not answered; in a later turn it is another's."""
        with self._mutex:
            if turn == self._turns.get(scope, 0):
                self._taken.get(scope, {}).get(key, set()).discard(ordinal)

    def restart(self, scope: bytes) -> None:
        """Begin another try of a step: it asks for the same answers again."""
        with self._mutex:
            if self._taken.pop(scope, None) is not None:
                self._turns[scope] = self._turns.get(scope, 0) + 1

    def has(self, scope: bytes) -> bool:
        """Tell whether anything was asked in a step."""
        return scope in self._taken

    def is_fresh(self, scope: bytes) -> bool:
        """Tell whether no request of a step has missed the journal yet."""
        return scope not in self._compared

    def compared(self, scope: bytes) -> None:
        """A request has missed the journal, and was compared with what its step asked before."""
        self._compared.add(scope)
