"""LangChain's text is kept in checkpoints."""

from __future__ import annotations

from papayya_core import codec
from papayya_llm import plugin, texts


def test_langchain_text_is_kept() -> None:
    """A value of LangChain's class is written as its text, and read so where LangChain is absent."""
    accessor = type("TextAccessor", (str,), {"__module__": "langchain_core.messages.base"})
    written = codec.encode({"joke": accessor("why")}, plugin)
    assert codec.decode(written, plugin) == {"joke": "why"}


def test_other_text_is_not_ours() -> None:
    """Other subclasses of str, and other tags, are left to others."""
    assert texts.encode(type("TextAccessor", (str,), {})("why")) is None
    assert texts.decode("money", 1) is None
