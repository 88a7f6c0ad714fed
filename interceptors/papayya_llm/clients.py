"""httpx and httpx2: every client sends through one method. Outside items it costs next to nothing."""

from __future__ import annotations

import functools
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from papayya_core.context import current
from papayya_llm.installing import is_installed, replace

sending: ContextVar[bool] = ContextVar("papayya_llm_sending", default=False)
"""An exchange is under way: what a client sends by means of another client is the same one."""


def patch(library: ModuleType) -> None:
    """Hold on to the clients of a library."""
    replace(library.Client, "send", functools.partial(_wrap, library))
    replace(library.AsyncClient, "send", functools.partial(_wrap_async, library))


def is_ours(request: Any) -> bool:
    """Tell whether a request may be a call of an item."""
    return (
        current() is not None
        and getattr(request, "method", None) == "POST"
        and not sending.get()
        and is_installed()
    )


def _wrap(library: ModuleType, original: Any) -> Any:
    @functools.wraps(original)
    def send(self: Any, request: Any, **kwargs: Any) -> Any:
        if not is_ours(request):
            return original(self, request, **kwargs)
        from papayya_llm.http import Sender

        own = functools.partial(original, self, **kwargs)
        stream = bool(kwargs.get("stream"))
        return Sender(library, self, own, stream=stream).send(request)

    return send


def _wrap_async(library: ModuleType, original: Any) -> Any:
    @functools.wraps(original)
    async def send(self: Any, request: Any, **kwargs: Any) -> Any:
        if not is_ours(request):
            return await original(self, request, **kwargs)
        from papayya_llm.http_async import AsyncSender

        own = functools.partial(original, self, **kwargs)
        stream = bool(kwargs.get("stream"))
        return await AsyncSender(library, self, own, stream=stream).send(request)

    return send
