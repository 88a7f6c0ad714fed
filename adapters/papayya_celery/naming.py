"""For whom a message is, and which item: rules over a task's own arguments. No I/O."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from papayya_core import rules


@dataclass(frozen=True)
class Message:
    """One call of a task, as ``tenant=``, ``item=`` and ``run=`` see it.

    ``arguments`` are by name, as far as the task's signature is known here; ``message["doc_id"]``
    is short for one of them.
    """

    task: str
    id: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    run: Callable[..., Any] | None = None

    @functools.cached_property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments by name; those with defaults, too."""
        signature = _signature(self.run) if self.run is not None else None
        if signature is None:
            return self.kwargs
        try:
            bound = signature.bind_partial(*self.args, **self.kwargs)
        except TypeError:  # the task itself will say so
            return self.kwargs
        bound.apply_defaults()
        extra = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), "")
        return {**bound.arguments, **bound.arguments.get(extra, {})}

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]


Choice = Callable[[Message], object] | str | None
"""What names a tenant, item or run: a function of the message, or a path like ``doc.owner.id``."""


@functools.lru_cache(maxsize=4096)
def _signature(run: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(run)
    except (TypeError, ValueError):
        return None


def choose(choice: Choice, message: Message, what: str) -> str | None:
    """Apply a choice to a message; None when it does not apply to it.

    A path applies to tasks that have an argument of its first part. Raises InvalidKey for what
    cannot be a name, LookupError or AttributeError for a path that leads nowhere, and whatever the
    user's function raises.
    """
    if choice is None:
        return None
    if callable(choice):
        value = choice(message)
    else:
        first, _, rest = choice.partition(".")
        if first not in message.arguments:
            return None
        value = _follow(message.arguments[first], rest)
    if value is None:
        return None
    return rules.check_name(value if isinstance(value, str) else str(value), what)


def _follow(value: Any, path: str) -> Any:
    for part in filter(None, path.split(".")):
        value = value[part] if isinstance(value, Mapping) else getattr(value, part)
    return value


def check_choice(choice: object, what: str) -> None:
    """Refuse what can neither be called nor followed, when it is given."""
    if choice is None or callable(choice) or (isinstance(choice, str) and choice):
        return
    msg = (
        f"{what}= takes the name of a task's argument (a path like 'doc.owner' goes into it) or a "
        f"function of the message, not {choice!r}"
    )
    raise TypeError(msg)
