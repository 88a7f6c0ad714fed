"""Every exception Papayya raises.

PapayyaError                 something the caller can act on; the message says what to do
├── SettingsError            a setting has a value that is not accepted
├── StoreError               Postgres refused a statement or could not be reached
│   ├── StoreUnavailable     Postgres stayed away longer than ``db_patience``
│   ├── SpoolFull            Postgres is away, and the disk of the spool is full
│   └── StoreRefused         Postgres refused a statement
├── InvalidKey               a tenant, run, agent, item or label name that cannot be stored
├── NotInItem                ``run.task`` and friends were called outside any item
├── ItemFailed               the item had already failed; ``papayya retry`` queues it again
├── ItemParked               the item is paused, or its run is draining; it goes on later
│   └── BudgetExhausted      … because nothing is left of a budget
├── ItemWasCancelled         somebody cancelled the item
├── ItemTookTooLong          the item passed its ``max_seconds`` or ``max_steps``
├── ItemTakenOver            another worker finished the item, or has it now
├── OutputUnavailable        the item ended, but its output was not stored
├── NonRetriable             raised by user code: this error must not be tried again
├── Reject                   raised by user code: the model's answer is unusable
└── PluginError              a plugin is malformed

Signal (BaseException)       control flow; a user's ``except Exception`` must not swallow it
├── Paused                   the item is parked until somebody or something releases it
│   ├── BudgetPaused         … because a budget is exhausted
│   └── HandPaused           … because somebody asked for it
├── Throttled                the item waits until a due time
├── ItemCancelled            somebody cancelled the item
├── ItemTimedOut             the item passed its ``max_seconds`` or ``max_steps``
├── ItemLocked               what the item goes on from cannot be read here, and was paid for
└── LeaseLost                another worker took the item over; nothing here counts any more
"""

from __future__ import annotations


class PapayyaError(Exception):
    """The base of every error that Papayya raises."""


class SettingsError(PapayyaError):
    """A setting has a value that is not accepted."""


class StoreError(PapayyaError):
    """Postgres refused a statement or could not be reached."""


class StoreUnavailable(StoreError):
    """Postgres stayed away longer than ``db_patience`` seconds."""


class SpoolFull(StoreError):
    """Postgres is away, and what was paid meanwhile could not be written to the spool either."""


class StoreRefused(StoreError):
    """Postgres refused a statement; what it is about is not written."""


class InvalidKey(PapayyaError, ValueError):
    """A tenant, run, agent, item or label name that cannot be stored."""


class NotInItem(PapayyaError, RuntimeError):
    """A step method was called where no item is current."""


class ItemFailed(PapayyaError):
    """The item failed in an earlier execution and was not queued again."""


class ItemParked(PapayyaError):
    """The item is parked with its finished steps; it goes on when it is released."""


class BudgetExhausted(ItemParked):
    """The item is parked because nothing is left of a budget."""


class ItemWasCancelled(PapayyaError):
    """Somebody cancelled the item."""


class ItemTookTooLong(PapayyaError, TimeoutError):
    """The item passed a limit of its agent."""


class ItemTakenOver(PapayyaError):
    """Another worker has the item; what this one did after that was not recorded."""


class OutputUnavailable(PapayyaError):
    """The item is finished, but its output could not be stored or read back."""


class NonRetriable(PapayyaError):
    """Raise it in a step when trying again cannot help."""


class Reject(PapayyaError):
    """Raise it in a step when the model's answer is unusable.

    The step fails and is not tried again by itself; a retry of the item asks anew.
    """


class PluginError(PapayyaError):
    """A plugin is malformed; the message names it and the fault."""


class Signal(BaseException):
    """Control flow that must pass through user code untouched.

    It derives from BaseException so that ``except Exception`` around a model call cannot turn a
    pause into a wrong result. A latch on the execution covers code that catches even this.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Paused(Signal):
    """The item is parked; its finished steps are kept."""


class BudgetPaused(Paused):
    """The item is parked because a budget is exhausted.

    ``budget``: its id, ``wants``: what the call or step may need of it, in its unit.
    """

    def __init__(self, reason: str, budget: int | None = None, wants: int | None = None) -> None:
        super().__init__(reason)
        self.budget = budget
        self.wants = wants


class HandPaused(Paused):
    """The item is parked because somebody paused it, its run or its tenant."""


class Throttled(Signal):
    """The item waits ``delay`` seconds, then goes on from its last checkpoint.

    ``rate``: the limit whose room it waits in, if one admits it before; ``wants``: tokens.
    """

    def __init__(
        self, reason: str, delay: float = 1.0, rate: int | None = None, wants: int = 0
    ) -> None:
        super().__init__(reason)
        self.delay = delay
        self.rate = rate
        self.wants = wants


class ItemCancelled(Signal):
    """Somebody cancelled the item; work stops at the next step."""


class ItemTimedOut(Signal):
    """The item passed a limit of its agent; ``limit`` names it (max_seconds, max_steps)."""

    def __init__(self, reason: str, limit: str) -> None:
        super().__init__(reason)
        self.limit = limit


class ItemLocked(Signal):
    """What the item goes on from cannot be read here; it ends, so that nothing is paid twice."""


class LeaseLost(Signal):
    """Another worker took the item over; nothing written here counts any more."""
