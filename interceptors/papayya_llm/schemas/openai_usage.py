"""Tokens as chat completions count them, with the ways of the servers that speak the format."""

from __future__ import annotations

from papayya_core.call import Tokens
from papayya_llm.schemas.base import JsonObject, count, first, record


def has_usage(told: JsonObject) -> bool:
    """Whether an object tells of tokens at all."""
    return first(told, "prompt_tokens", "completion_tokens", "total_tokens") is not None


def usage(told: JsonObject) -> Tokens | None:
    """Count by class; None where nothing is told.

    The prompt includes what was cached, and the completion the reasoning. Where the total is
    greater than both, a server counts the one or the other beside them.
    """
    if not has_usage(told):
        return None
    prompt, completion = count(told.get("prompt_tokens")), count(told.get("completion_tokens"))
    read, wrote = _cached(told)
    details = record(told.get("completion_tokens_details"))
    reasoning = count(first({**told, **details}, "reasoning_tokens"))
    beside = count(told.get("total_tokens")) - prompt - completion
    if read + wrote and (read + wrote > prompt or beside == read + wrote):
        prompt += read + wrote
        beside -= read + wrote
    if beside > 0:
        completion += beside
        reasoning = max(reasoning, beside)
    elif reasoning > completion:
        completion += reasoning
    return Tokens(
        input=prompt - read - wrote,
        cache_read=read,
        cache_write=wrote,
        output=completion,
        reasoning=reasoning,
    )


def _cached(told: JsonObject) -> tuple[int, int]:
    """Count what was read from and written to a cache, by the names that servers use."""
    details = record(told.get("prompt_tokens_details"))
    read = first(details, "cached_tokens")
    if read is None:
        read = first(told, "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
    wrote = first(details, "cache_write_tokens", "cache_creation_tokens")
    if wrote is None:
        wrote = first(told, "cache_creation_input_tokens")
    return count(read), count(wrote)
