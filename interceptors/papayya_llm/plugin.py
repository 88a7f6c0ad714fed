"""The interceptors as a plugin: which clients are held on to, what a call is, and what it costs."""

from __future__ import annotations

from typing import Any

from papayya_core.call import CallFacts, Priced, PriceQuestion
from papayya_core.hookspecs import hookimpl
from papayya_core.settings import Settings
from papayya_llm import prices, texts


@hookimpl
def instrument(settings: Settings) -> None:
    """Record the calls of model clients, unless PAPAYYA_LLM says not to."""
    if settings.llm:
        from papayya_llm import installing

        installing.install_by_default()


@hookimpl(trylast=True)
def normalise_call(url: str, request: Any, response: Any | None) -> CallFacts | None:
    """Read a call in a wire format that we know, for people."""
    from papayya_llm import facts

    return facts.read(url, request, response)


@hookimpl(trylast=True)
def price(question: PriceQuestion) -> Priced | None:
    """Go by the list prices that genai-prices knows."""
    return prices.price(question)


@hookimpl(trylast=True)
def encode(value: object) -> tuple[str, Any] | None:
    """Keep the text that LangChain's chains return."""
    return texts.encode(value)


@hookimpl(trylast=True)
def decode(tag: str, data: Any) -> Any | None:
    """Give back the text that LangChain's chains return."""
    return texts.decode(tag, data)
