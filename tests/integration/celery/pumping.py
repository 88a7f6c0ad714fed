"""A pump that does not rest, in the test's own process: nothing waits for its next turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from papayya_core.pump import Pump
from papayya_core.runtime import runtime

_EVERY = 0.05


@contextmanager
def pumping() -> Iterator[None]:
    """Pump while the block runs; workers must be started without one."""
    here, stop = runtime(), threading.Event()
    pump = Pump(here.engine().store, here.plugins, here.settings, here.owner)
    thread = threading.Thread(target=pump.run, args=(stop, _EVERY))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
