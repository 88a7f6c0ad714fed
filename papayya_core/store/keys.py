"""Keys of providers: known by their fingerprints, and by the names that people give them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from papayya_core import rules
from papayya_core.errors import InvalidKey
from papayya_core.store.reads import Connection, UnknownName, rows, unknown, values

_FILE = "keys.sql"
_BY_PRINT = re.compile(r"[A-Za-z0-9._-]+/[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key: what was spent with it, and how many budgets and limits it has."""

    id: int
    provider: str
    print: str
    name: str | None
    calls: int
    cost_nusd: int
    unpriced_calls: int
    uncertain_calls: int
    uncertain_nusd: int
    unbounded_calls: int
    used_at: datetime | None
    budgets: int
    limits: int
    created_at: datetime

    @property
    def key(self) -> str:
        """The key as commands take it: provider/fingerprint."""
        return f"{self.provider}/{self.print}"


def is_print(text: str) -> bool:
    """Tell whether text names a key by its fingerprint: openai/0123456789abcdef."""
    return _BY_PRINT.fullmatch(text) is not None


def list_keys(connection: Connection, key: int | None = None) -> list[KeyRow]:
    """Read all keys, or one."""
    return rows(connection, "keys", KeyRow, _FILE, id=key)


def find_key(connection: Connection, key: str) -> int | None:
    """Return the id of a key by its name or print; None for a print that was not seen yet.

    Raises UnknownName.
    """
    found = values(connection, "key_id", _FILE, key=_lowered(key))
    if found:
        return int(found[0])
    if is_print(key):
        return None
    known = values(connection, "key_names", _FILE)
    hint = "; a key that is new is given as provider/fingerprint, see papayya keys print"
    raise UnknownName(unknown("key", key, known, "papayya keys") + hint)


def _lowered(key: str) -> str:
    return key.lower() if is_print(key) else key


def name_key(connection: Connection, key: str, name: str) -> tuple[KeyRow, bool]:
    """Name a key, by its print or its old name; return it, and whether that changed anything.

    A print that was not seen yet is made. Raises InvalidKey or UnknownName.
    """
    rules.check_name(name, "the name of a key")
    if is_print(name):
        raise InvalidKey(f"{name} is how a key without a name is shown; choose another one")
    with connection.transaction():
        before = find_key(connection, key)
        bearers = values(connection, "bearer", _FILE, name=name)
        if bearers and bearers != [before]:
            [other] = list_keys(connection, bearers[0])
            raise InvalidKey(f"key {other.key} has the name {name} already; choose another one")
        if bearers:
            return list_keys(connection, before)[0], False
        [number] = values(connection, "name_key", _FILE, key=_lowered(key), name=name)
        return list_keys(connection, number)[0], True
