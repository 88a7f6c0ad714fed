"""boto3: every attempt of a request goes through one method of botocore's session.

It is signed by then. What makes requests is held on to as well, so that a changed one can be made,
and signed, the same way.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from papayya_core.context import current
from papayya_llm.clients import is_ours
from papayya_llm.installing import is_installed, replace

AGAIN = "papayya_again"
"""The field of a request that makes it again with another body: ``(content) -> request``."""


def patch(module: ModuleType) -> None:
    """Hold on to the session, and to what makes requests, in whichever module they are."""
    replace(module.URLLib3Session, "send", _wrap)
    if (endpoint := getattr(module, "Endpoint", None)) is not None:
        replace(endpoint, "create_request", _wrap_making)


def _wrap(original: Any) -> Any:
    @functools.wraps(original)
    def send(self: Any, request: Any) -> Any:
        if not is_ours(request):
            return original(self, request)
        from papayya_llm.bedrock import send as send_ours

        return send_ours(functools.partial(original, self), request)

    return send


def _wrap_making(original: Any) -> Any:
    @functools.wraps(original)
    def create_request(self: Any, params: Any, operation_model: Any = None) -> Any:
        request = original(self, params, operation_model)
        if current() is not None and is_installed():

            def again(content: bytes) -> Any:
                return original(self, {**params, "body": content}, operation_model)

            setattr(request, AGAIN, again)
        return request

    return create_request
