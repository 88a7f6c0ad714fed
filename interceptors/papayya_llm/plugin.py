"""The interceptors as a plugin: what a call is, and what it costs."""

from __future__ import annotations

from papayya_core.call import Priced, PriceQuestion
from papayya_core.hookspecs import hookimpl


@hookimpl(trylast=True)
def price(question: PriceQuestion) -> Priced | None:
    """Go by the list prices that genai-prices knows."""
    from papayya_llm import prices

    return prices.price(question)
