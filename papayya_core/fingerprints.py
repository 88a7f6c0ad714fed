"""The version of an agent: a fingerprint of its code and of whatever else decides what it does."""

from __future__ import annotations

import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable
from typing import Any


def version_of(fn: Callable[..., Any], *facts: Any) -> str:
    """Name a version by the function's source and ``facts`` (JSON data): 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps([_source(fn), *facts]).encode()).hexdigest()[:12]


def _source(fn: Callable[..., Any]) -> str:
    try:
        return textwrap.dedent(inspect.getsource(fn))
    except (OSError, TypeError):
        code = getattr(fn, "__code__", None)
        return code.co_code.hex() + repr(code.co_names) if code else repr(type(fn))
