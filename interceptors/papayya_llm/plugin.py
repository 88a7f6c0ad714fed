"""The interceptors as a plugin: what a call is, and what it costs."""

from __future__ import annotations

from papayya_core.call import Priced, PriceQuestion
from papayya_core.hookspecs import hookimpl


@hookimpl(trylast=True)
def price(question: PriceQuestion) -> Priced | None:
    """Leave the price to others."""
    return None
