"""Which requests are the same: the key of the journal, and where two of them differ."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection
from itertools import zip_longest
from typing import Any

from papayya_llm import callids
from papayya_llm.schemas.base import Schema

_SHOWN = 40
_ABSENT: Any = object()
_INDEX = re.compile(r"(?:\[[0-9]+\])+\Z")


def key(schema: Schema, path: str, body: Any, volatile: Collection[str] | None = None) -> bytes:
    """Name what a request asks for, in 16 bytes.

    ``volatile``: top-level fields that do not count, instead of the format's own. ``stream``
    counts: a streamed answer is no answer to a plain request. Raises ValueError for a body that
    cannot be written as JSON.
    """
    stable = without(body, schema.volatile if volatile is None else volatile)
    try:
        canonical = _written(stable)
        if any(mark in canonical for mark in callids.MARKS):
            canonical = _written(callids.numbered(stable))
    except (RecursionError, TypeError) as error:
        raise ValueError(f"this request has no journal key: {error}") from error
    told = f"{schema.name}\n{path}\n{canonical}"
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).digest()[:16]


def _written(body: Any) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), default=repr)


def without(body: Any, volatile: Collection[str]) -> Any:
    """Leave out the volatile fields."""
    if not isinstance(body, dict) or body.keys().isdisjoint(volatile):
        return body
    return {name: value for name, value in body.items() if name not in volatile}


def difference(
    old: Any,
    new: Any,
    *,
    volatile: Collection[str] = (),
    redact: Callable[[str], str] = str,
    is_secret: Callable[[str], object] = lambda _: False,
    values: bool = True,
) -> str:
    """Name the first JSON path where two requests differ, with both values, cut short.

    "" when they are the same. ``redact`` is given each text before it is cut, so that it sees a
    secret whole; ``is_secret`` the name of the field. Without ``values``, the path alone.
    """
    found = _first(*(callids.numbered(without(body, volatile)) for body in (old, new)))
    if found is None:
        return ""
    path, before, after = found
    if not values:
        return path
    if is_secret(_INDEX.sub("", path).rpartition(".")[2].rstrip('"]')):
        return f"{path}: differs in what is withheld"
    if isinstance(before, str) and isinstance(after, str):
        before, after = redact(before), redact(after)
        if before == after:
            return f"{path}: differs in what is withheld"
        start = _common(before, after)
        return f"{path}: {_excerpt(before, start)} → {_excerpt(after, start)}"
    return f"{path}: {_shown(before, redact)} → {_shown(after, redact)}"


def _first(old: Any, new: Any) -> tuple[str, Any, Any] | None:
    """Find the first difference, in the order of the older one; without recursion."""
    waiting = [("$", old, new)]
    while waiting:
        path, before, after = waiting.pop()
        if type(before) is not type(after) or not isinstance(before, dict | list):
            if type(before) is not type(after) or repr(before) != repr(after):
                return path, before, after
        elif isinstance(before, dict):
            waiting.extend(reversed(_fields(path, before, after)))
        else:
            pairs = zip_longest(before, after, fillvalue=_ABSENT)
            waiting.extend(reversed([(f"{path}[{at}]", *pair) for at, pair in enumerate(pairs)]))
    return None


def _fields(path: str, old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    """Pair the fields of two objects."""
    names = [*old, *(name for name in new if name not in old)]
    return [
        (f"{path}{_step(name)}", old.get(name, _ABSENT), new.get(name, _ABSENT)) for name in names
    ]


def _step(name: str) -> str:
    """Write one step of a path."""
    return f".{name}" if name.isidentifier() else f"[{json.dumps(name)}]"


def _common(old: str, new: str) -> int:
    """Count the characters that both texts begin with."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(old), len(new)))


def _excerpt(text: str, at: int) -> str:
    """Show a text around the place where it differs."""
    start = max(at - _SHOWN // 2, 0) if len(text) > _SHOWN else 0
    cut = text[start : start + _SHOWN]
    head = "…" if start else ""
    tail = "…" if start + _SHOWN < len(text) else ""
    return json.dumps(f"{head}{cut}{tail}", ensure_ascii=False)


def _shown(value: Any, redact: Callable[[str], str]) -> str:
    """Show any value, cut short."""
    if value is _ABSENT:
        return "absent"
    if isinstance(value, str):
        return _excerpt(redact(value), 0)
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    return json.dumps(value, default=repr)
