"""What keeps a call from being sent, or an item from going on: from answers to signals. No I/O."""

from __future__ import annotations

from typing import Any, NamedTuple

from papayya_core import faults, rules
from papayya_core.call import Ending
from papayya_core.errors import BudgetPaused, Paused, Signal, Throttled

_BUSY = frozenset({429, 529})  # too many requests (RFC 6585); Anthropic is overloaded
_UNAVAILABLE = 503
_USUAL = 5.0  # seconds, where a provider does not say how long
NO_CREDIT = frozenset(
    {
        "billing_hard_limit_reached",
        "billing_not_active",
        "exceeded_current_quota_error",
        "insufficient_balance",
        "insufficient_quota",
    }
)
"""What providers call it when an account must be topped up: no waiting helps."""


class Refusal(NamedTuple):
    """Why a hold was refused, as ``hold_v1`` says it."""

    verdict: str
    reason: str | None = None
    budget: int | None = None
    wants: int | None = None
    delay: float | None = None
    rate: int | None = None


def signal_of(refusal: Refusal, provider: str, model: str) -> Signal | None:
    """Return the signal that a refusal is; None for a verdict that is none."""
    reason = refusal.reason or "budget: nothing is left"
    if refusal.verdict == "exhausted":
        return BudgetPaused(reason, refusal.budget, refusal.wants)
    if refusal.verdict == "wait":
        return Throttled(reason, refusal.delay or 1.0, refusal.rate, refusal.wants or 0)
    if refusal.verdict == "unpriced":
        msg = (
            f"unpriced: what {model} of {provider or 'its provider'} costs is not known, and a budget"
            " in dollars applies: `papayya prices set`, then `papayya resume`;"
            " or PAPAYYA_UNPRICED=allow"
        )
        return Paused(msg)
    return None


def cooling(ending: Ending) -> float | None:
    """Return the seconds that a provider asks to wait after a refusal; None when it does not."""
    if ending.state != "failed" or ending.exhausted:
        return None
    # whoever says more than a day is asked again then; and Postgres has no date for some
    asked = None if ending.retry_after is None else min(ending.retry_after, rules.A_DAY)
    if ending.status in _BUSY:
        return _USUAL if asked is None else asked
    return asked if ending.status == _UNAVAILABLE else None


def after_refusal(ending: Ending, rate: int | None, patience: float) -> Signal | None:
    """Return the signal that frees the worker after a provider's refusal; None to go on.

    ``patience``: seconds that are waited out in place, by the client itself.
    """
    if ending.exhausted:
        return Paused(f"no credit: the provider's account has none left ({ending.error})")
    wait = cooling(ending)
    if wait is None or wait <= patience:
        return None
    return Throttled(f"throttled: the provider answered {ending.status}", wait, rate)


def throttling(error: BaseException) -> Signal | None:
    """Return what the item does after an error that says too many requests; None for others."""
    for link in faults.chain(error):
        if rules.status_of(link) in _BUSY:
            code = getattr(link, "code", None)
            if isinstance(code, str) and code in NO_CREDIT:
                return Paused(f"no credit: {rules.describe_error(link)}")
            wait = rules.retry_after(link)
            return Throttled(
                f"throttled: {rules.describe_error(link)}", _USUAL if wait is None else wait
            )
    return None


def limits_doc(ending: Ending) -> list[list[Any]] | None:
    """Write what a provider tells of its limits as ``settle_v1`` takes it."""
    return [[each.unit, each.limit, each.remaining] for each in ending.limits] or None
