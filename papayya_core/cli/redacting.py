"""What people see of what is stored: without secrets, and without what plugins take out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from papayya_core import codec, redaction
from papayya_core.store import rows
from papayya_core.vault import Locked

if TYPE_CHECKING:
    from papayya_core.cli.state import Cli
    from papayya_core.plugins import Plugins

Seen = TypeVar("Seen")
_TEXTS = frozenset({"reason", "error", "evidence"})
_BODY, _CODEC = "_body", "_codec"


@dataclasses.dataclass(frozen=True, slots=True)
class Redactor:
    """Takes out of texts and values what people must not see: by setting, then by plugins."""

    kinds: tuple[str, ...]
    ask: Callable[[str], str]

    def __call__(self, text: str) -> str:
        """Redact a text."""
        return self.ask(redaction.redact(text, self.kinds))

    def data(self, value: Any) -> Any:
        """Redact a value in JSON terms."""
        return redaction.redact_data(value, self.kinds, self)


def redactor(cli: Cli, plugins: Plugins | None = None) -> Redactor:
    """Return what redacts by PAPAYYA_REDACT and by the plugins, loaded for the first text."""
    if plugins is not None:
        return Redactor(cli.settings.redact, plugins.redact)

    @cache
    def loaded() -> Plugins:
        from papayya_core.plugins import Plugins

        return Plugins(cli.settings.plugins)

    return Redactor(cli.settings.redact, lambda text: loaded().redact(text))


def redacted(seen: Seen, clean: Redactor) -> Seen:
    """Return a copy of rows (one, a list, rows in a row) whose texts and payloads are redacted.

    Redacted are fields named reason, error and evidence, and what is stored: ``x_codec`` with
    ``x_body``, and ``result_text``. A payload that no key opens stays as it is.
    """
    if isinstance(seen, list):
        return [redacted(one, clean) for one in seen]  # type: ignore[return-value]
    if not dataclasses.is_dataclass(seen) or isinstance(seen, type):
        return seen
    names = [field.name for field in dataclasses.fields(seen)]
    changes: dict[str, Any] = {}
    for name in names:
        value = getattr(seen, name)
        if name in _TEXTS:
            changes[name] = clean.data(value)
        elif name == "result_text" and value is not None:
            changes[name] = _text(value, clean)
        elif name.endswith(_BODY) and value is not None:
            number = name.removesuffix(_BODY) + _CODEC
            changes[number], changes[name] = _payload(getattr(seen, number), value, clean)
        elif isinstance(value, list) or dataclasses.is_dataclass(value):
            changes[name] = redacted(value, clean)
    return dataclasses.replace(seen, **changes)


def _text(text: str, clean: Redactor) -> str:
    return codec.encode(clean.data(codec.plain(text)))


def _payload(number: int, body: bytes, clean: Redactor) -> tuple[int, bytes]:
    try:
        text = rows.unpack(number, body)
    except (Locked, codec.Undecodable):
        return number, body
    return rows.PLAIN, _text(text, clean).encode()
