"""Turn what JSON held back into values: the reading half of the codec.

The JSON parser hands over each dict once its parts are restored, so no reader here recurses.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

from papayya_core.codec import models, moments, records, scalars
from papayya_core.codec.failures import Undecodable
from papayya_core.codec.pack import FACTORIES, Encoders


def _read_deque(payload: list[Any]) -> deque[Any]:
    items, maxlen = payload
    return deque(items, maxlen)


def _read_defaultdict(payload: list[Any]) -> defaultdict[Any, Any]:
    factory, pairs = payload
    return defaultdict(None if factory is None else FACTORIES[factory], pairs)


READERS: dict[str, Callable[[Any], Any]] = {
    **scalars.READERS,
    **moments.READERS,
    "$tuple": tuple,
    "$dict": dict,
    "$set": set,
    "$frozenset": frozenset,
    "$ordereddict": OrderedDict,
    "$counter": lambda pairs: Counter(dict(pairs)),
    "$defaultdict": _read_defaultdict,
    "$deque": _read_deque,
    "$enum": records.restore_enum,
    "$flag": records.restore_flag,
    "$namedtuple": records.restore_namedtuple,
    "$dataclass": records.restore_dataclass,
    "$model": models.restore_model,
    "$url": models.restore_url,
}


def tag_of(node: dict[str, Any]) -> str | None:
    """Tell the tag of a dict that stands for something else."""
    if len(node) != 1:
        return None
    (key,) = node
    return key if key.startswith("$") else None


def restorer(extra: Encoders | None) -> Callable[[dict[str, Any]], Any]:
    """Make the function that the JSON parser calls for each dict."""

    def restore(node: dict[str, Any]) -> Any:
        tag = tag_of(node)
        if tag is None:
            return node
        try:
            reader = READERS.get(tag)
            return reader(node[tag]) if reader else _read_extra(tag, node[tag], extra)
        except (Undecodable, RecursionError):
            raise
        except Exception as exc:
            raise Undecodable(f"what was saved as {tag} cannot be read back: {exc!r}") from exc

    return restore


def _read_extra(tag: str, payload: Any, extra: Encoders | None) -> Any:
    if not tag.startswith("$x:"):
        raise Undecodable(f"{tag} is unknown here; a newer version of Papayya may have written it")
    value = extra.decode(tag.removeprefix("$x:"), payload) if extra is not None else None
    if value is None:
        raise Undecodable(f"{tag} was written by a plugin that is not loaded here; install it")
    return value
