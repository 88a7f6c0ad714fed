"""The seam to queues: what the pump needs of whatever brings items to workers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from papayya_core import redaction
from papayya_core.contract import Send

if TYPE_CHECKING:
    from papayya_core.codec import Encoders


logger = redaction.logger("papayya.pump")


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
        open, as its first copy has the lease. It must not wait for the items to end.
        """


class Books(Protocol):
    """Named statements of the contract (``papayya_core.store``)."""

    def fetch(self, name: str, params: Any, patience: float | None = None) -> list[Any]:
        """Run a statement and return its rows."""


@runtime_checkable
class Scoped(Protocol):
    """A carrier that serves several queues of its kind, each under a name of its own."""

    def scopes(self) -> Sequence[str]:
        """Name what it serves in this process; ``item.carrier`` says the same of its items."""


@runtime_checkable
class Holding(Protocol):
    """A carrier whose items wait in loops of this process, until they are woken."""

    def held(self) -> list[int]:
        """Name the items that are held back here."""

    def wake(self, item_id: int) -> None:
        """Let the loop that holds an item back go on with it."""


@runtime_checkable
class Tending(Protocol):
    """A carrier that looks after its own books now and then, too."""

    def tend(
        self, books: Books, scopes: Sequence[str], quiet: float, encoders: Encoders | None
    ) -> None:
        """Mend what the carrier's own servers have forgotten.

        ``scopes``: those that this process leads. ``quiet``: seconds to leave alone.
        """


@runtime_checkable
class Admitting(Protocol):
    """A carrier that may have only so many items of a tenant with its broker."""

    def admit(self, books: Books, scopes: Sequence[str]) -> float | None:
        """Make those due for which there is room; ``scopes``: those that this process leads.

        Returns the seconds until it is worth another look; None: it holds nothing back.
        """


@runtime_checkable
class Returning(Protocol):
    """A carrier whose items can do without us."""

    def hand_back(self, sends: Sequence[Send], delays: Sequence[float]) -> None:
        """Bring items to workers, after ``delays`` seconds, as if we had never been there."""


def served(carriers: Iterable[Carrier]) -> dict[str, Carrier]:
    """Find the carrier of each name that can be sent under now, among those that are ready."""
    found: dict[str, Carrier] = {}
    for carrier in carriers:
        try:
            if carrier.ready():
                names = carrier.scopes() if isinstance(carrier, Scoped) else (carrier.name,)
                found |= dict.fromkeys(names, carrier)
        except Exception:
            what = "carrier %s cannot tell whether it is ready; again later"
            logger.exception(what, carrier.name)
    return found
