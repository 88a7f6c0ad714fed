"""google-genai: its asynchronous side prefers aiohttp; inside items it goes through httpx."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from papayya_core.context import current
from papayya_llm.installing import is_installed, replace


def patch(module: ModuleType) -> None:
    """Hold on to the choice between aiohttp and httpx."""
    replace(module.BaseApiClient, "_use_aiohttp", _wrap)


def _wrap(original: Any) -> Any:
    @functools.wraps(original)
    def _use_aiohttp(self: Any) -> bool:
        wanted = bool(original(self))
        if not wanted or current() is None or not is_installed():
            return wanted
        return not _has_httpx(self)

    return _use_aiohttp


def _has_httpx(client: Any) -> bool:
    """Tell whether a client is ready to send by httpx, and was not given a session of aiohttp."""
    is_made = hasattr(client, "_async_retry")  # the last thing that its constructor sets
    if not is_made or getattr(client, "_async_httpx_client", None) is None:
        return False
    options = getattr(client, "_http_options", None)
    return getattr(options, "aiohttp_client", None) is None
