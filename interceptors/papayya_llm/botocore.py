"""boto3: every attempt of a request goes through one method of botocore's session."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from papayya_llm.clients import is_ours
from papayya_llm.installing import replace


def patch(module: ModuleType) -> None:
    """Hold on to the session."""
    replace(module.URLLib3Session, "send", _wrap)


def _wrap(original: Any) -> Any:
    @functools.wraps(original)
    def send(self: Any, request: Any) -> Any:
        if not is_ours(request):
            return original(self, request)
        from papayya_llm.bedrock import send as send_ours

        return send_ours(functools.partial(original, self), request)

    return send
