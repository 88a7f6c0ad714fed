"""Clients of the Stainless family (openai, anthropic, …): with PAPAYYA_SDK_RETRIES=0 they do not
try again by themselves inside items."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from papayya_core.context import current
from papayya_core.runtime import runtime
from papayya_llm.installing import is_installed, replace


def patch(module: ModuleType) -> None:
    """Hold on to the number of retries of a request."""
    replace(module.FinalRequestOptions, "get_max_retries", _wrap)


def _wrap(original: Any) -> Any:
    @functools.wraps(original)
    def get_max_retries(self: Any, max_retries: int) -> Any:
        if current() is not None and is_installed() and not runtime().settings.sdk_retries:
            return 0
        return original(self, max_retries)

    return get_max_retries
