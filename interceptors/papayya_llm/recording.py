# Generated from interceptors/papayya_llm/recording_async.py by tools/unasync.py: do not edit, run `make generate`.
"""Between an exchange and the engine: a fault of ours is noted, and never the caller's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papayya_core import faults
from papayya_core.call import Ending, Held, Recorded
from papayya_core.errors import PapayyaError, Signal, StoreRefused
from papayya_llm import lending
from papayya_llm.exchanges import Exchange

if TYPE_CHECKING:
    from papayya_llm.watches import Watch


def begin(exchange: Exchange) -> Held | Recorded | None:
    """Hold, or return the journal's answer. None: it goes on unrecorded.

    Raises the signal that keeps it from being sent, and StoreError.
    """
    try:
        calls = lending.calls(exchange.home)
        found = calls.begin(
            exchange.execution,
            exchange.step,
            exchange.asked,
            exchange.key,
            exchange.content,
            url=exchange.url,
            provider_key=exchange.provider_key,
            clampable=exchange.clampable,
        )
        if isinstance(found, Held):
            exchange.compare(found)
    except StoreRefused as error:
        exchange.fault("it could not be recorded", error)
        return None
    except PapayyaError:
        raise
    except Exception as error:
        if faults.is_interrupt(error):
            raise
        exchange.fault("it could not be recorded", error)
        return None
    return found


def settle(exchange: Exchange, held: Held, ending: Ending) -> Signal | None:
    """Record how it ended; return the signal by which the item leaves instead of seeing it."""
    try:
        calls = lending.calls(exchange.home)
        signal = calls.settle(exchange.execution, held, ending)
    except Exception as error:
        if faults.is_interrupt(error):
            raise
        exchange.fault("its end could not be recorded", error)
        return None
    return None if signal is None else exchange.execution.trip(signal).with_traceback(None)


def end(watch: Watch, error: BaseException | None) -> None:
    """Record how a stream ended, the first time."""
    if watch.is_collected():
        watch.abandon()
    elif watch.claim():
        settle(watch.exchange, watch.held, watch.ending(error))
