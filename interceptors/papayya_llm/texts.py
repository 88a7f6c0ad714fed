"""LangChain's text: a str that can also be called, as every chain that ends in text returns it."""

from __future__ import annotations

from typing import Any

TAG = "langchain.text"
_CLASS = ("langchain_core.messages.base", "TextAccessor")


def encode(value: object) -> tuple[str, Any] | None:
    """Write it as the text that it is."""
    kind = type(value)
    if (kind.__module__, kind.__qualname__) != _CLASS:
        return None
    return TAG, str(value)


def decode(tag: str, data: Any) -> Any | None:
    """Make it again; where LangChain is not installed, plain text."""
    if tag != TAG:
        return None
    try:
        from langchain_core.messages.base import TextAccessor
    except ImportError:
        return data
    return TextAccessor(data)
