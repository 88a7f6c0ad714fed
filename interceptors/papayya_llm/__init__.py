"""Calls of model clients become calls of the item they are made for."""

from __future__ import annotations

from papayya_llm.installing import install, register_host, uninstall

__all__ = ["install", "register_host", "uninstall"]
