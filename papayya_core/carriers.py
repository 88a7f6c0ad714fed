"""The seam to queues: what the pump needs of whatever brings items to workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from papayya_core.contract import Send


@runtime_checkable
class Carrier(Protocol):
    """Brings items to workers: a broker, a workflow engine, or the loop of a script.

    ``name`` is what ``run.carrier`` says of the runs it serves.
    """

    name: str

    def ready(self) -> bool:
        """Tell whether this process can send through it now; the pump claims nothing otherwise."""

    def send(self, sends: Sequence[Send]) -> None:
        """Hand items over to workers again.

        A send that raises is repeated after a back-off; one that is delivered twice is dropped at
        open by its dispatch number. It must not wait for the items to end.
        """
