"""The plain-Python adapter as a plugin: its carrier is the loop of the script itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from papayya import loops
from papayya.runs import CARRIER
from papayya_core.carriers import Carrier
from papayya_core.contract import Send
from papayya_core.hookspecs import hookimpl


class LocalCarrier:
    """Wakes the maps of this process. Items of other processes' runs wait for their own script."""

    name = CARRIER

    def ready(self) -> bool:
        """Tell whether a map of this process holds anything back."""
        return loops.any_held()

    def send(self, sends: Sequence[Send]) -> None:
        """Tell the maps that hold these items to ask for them now."""
        for send in sends:
            loops.wake(send.item_id)

    def held(self) -> list[int]:
        """Name what the maps of this process hold back."""
        return loops.held()

    def wake(self, item_id: int) -> None:
        """Tell the map that holds an item to ask for it now."""
        loops.wake(item_id)


@hookimpl
def register_carriers(register: Callable[[Carrier], None]) -> None:
    """Offer the local carrier."""
    register(LocalCarrier())
