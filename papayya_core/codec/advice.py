"""What to tell somebody whose value cannot be kept."""

from __future__ import annotations

import inspect
import io
from collections.abc import Iterator

GENERAL = (
    "return plain values, a dataclass or a pydantic model, or register a plugin that encodes it"
)
BUILTINS = (str, int, float, bytes, list, tuple, dict, set, frozenset)
_BY_LIBRARY = {
    "numpy": "numpy values are not kept; return value.tolist() or value.item()",
    "pandas": "data frames are not kept; return plain rows, for instance with .to_dict(...)",
    "polars": "data frames are not kept; return plain rows, for instance with .to_dicts()",
}
_BY_TYPE = {
    io.IOBase: "an open file cannot be kept; return its path or its content",
    Iterator: "an iterator can be read only once; return list(...) of it",
    BaseException: "exceptions are not kept; raise it, or return str(...) of it",
}


def advise(value: object) -> str:
    """Say what to return instead of ``value``."""
    kind = type(value)
    library = _BY_LIBRARY.get(kind.__module__.partition(".")[0])
    if library is not None:
        return library
    if inspect.isawaitable(value):
        return "it was never awaited; write `await` in front of the call"
    for base, advice in _BY_TYPE.items():
        if issubclass(kind, base):
            return advice
    return _subclass_advice(kind) or GENERAL


def _subclass_advice(kind: type) -> str | None:
    base = next((base for base in BUILTINS if issubclass(kind, base)), None)
    if base is None:
        return None
    name = base.__name__
    return f"a subclass of {name} would come back as a bare {name}; return {name}(...) of it"
