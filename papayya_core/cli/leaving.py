"""`papayya drain --hand-back`: parked items go back to the queue they came from, for good."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from papayya_core.carriers import Returning
from papayya_core.cli.imports import import_carriers, no_carrier, ready_carriers
from papayya_core.cli.state import Cli
from papayya_core.store import acts
from papayya_core.store.acts import Returned

_BATCH = 50  # sent while their rows are locked


class Left(NamedTuple):
    """What was handed back, and what is still open: at work, and not."""

    handed_back: int
    running: int
    held: int


def hand_back(cli: Cli, run: str | None) -> Left:
    """Hand the parked items of a run, or of all runs, back to their carriers.

    An item ends here only when its message is out: what cannot be sent stays as it is. Raises
    NoCarrier, and whatever keeps a carrier from sending.
    """
    plugins = import_carriers(cli)
    ready = ready_carriers(plugins)
    carriers = {name: one for name, one in ready.items() if isinstance(one, Returning)}
    if not carriers:
        raise no_carrier(cli)
    connection, count = cli.connection, 0
    while True:
        with connection.transaction():
            batch = acts.hand_back(connection, run, list(carriers), _BATCH)
            by_carrier: dict[str, list[Returned]] = defaultdict(list)
            for one in batch:
                by_carrier[one.send.carrier].append(one)
            for name, some in by_carrier.items():
                carriers[name].hand_back([one.send for one in some], [one.delay for one in some])
        count += len(batch)
        if len(batch) < _BATCH:
            return Left(count, *acts.in_hand(connection, run))
